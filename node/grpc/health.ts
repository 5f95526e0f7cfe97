// grpc.health.v1: whether this member serves. The empty service name is the whole member.

import type { Call } from "../api/call.ts";
import { ApiError } from "../api/errors.ts";
import type { Logger } from "../lib/log.ts";
import { ServingStatus } from "../wire/rpc.ts";
import { services } from "../wire/services.ts";
import { type Route, serverStream, unary } from "./routes.ts";

export class HealthService {
  readonly #log: Logger;
  readonly #onChange = new Set<() => void>();
  #isServing = false;

  constructor(log: Logger) {
    this.#log = log;
  }

  setServing(isServing: boolean): void {
    if (this.#isServing === isServing) return;
    this.#isServing = isServing;
    this.#log.info("grpc service status changed", {
      service: "",
      status: isServing ? "SERVING" : "NOT_SERVING",
    });
    for (const fn of [...this.#onChange]) fn();
  }

  routes(): readonly Route[] {
    return [
      unary(services.health.check, ({ service }: { readonly service: string }) => {
        if (service !== "") throw new ApiError("NotFound", "unknown service");
        return { status: this.#status() };
      }),
      unary(services.health.list, () => ({
        statuses: [{ service: "", response: { status: this.#status() } }],
      })),
      serverStream(services.health.watch, ({ service }: { readonly service: string }, call) =>
        this.#watch(service, call),
      ),
    ];
  }

  async *#watch(service: string, call: Call): AsyncGenerator<{ status: number }> {
    let wake = (): void => {};
    const onChange = (): void => wake();
    this.#onChange.add(onChange);
    call.onCancel(onChange);
    try {
      let last: number | undefined;
      while (!call.isCancelled) {
        const status = service === "" ? this.#status() : ServingStatus.SERVICE_UNKNOWN;
        if (status !== last) {
          last = status;
          yield { status };
          continue;
        }
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    } finally {
      this.#onChange.delete(onChange);
    }
  }

  #status(): number {
    return this.#isServing ? ServingStatus.SERVING : ServingStatus.NOT_SERVING;
  }
}
