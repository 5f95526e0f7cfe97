// grpc.health.v1: the server as a whole, under the empty name, serves once it is ready.

import { type HealthCheckRequest, type HealthCheckResponse, ServingStatus } from "../wire/rpc.ts";
import type { Call } from "./call.ts";
import { ApiError } from "./errors.ts";

export class HealthService {
  #isServing = false;
  #waiting: (() => void)[] = [];

  setServing(isServing: boolean): void {
    this.#isServing = isServing;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
  }

  check({ service }: HealthCheckRequest): HealthCheckResponse {
    if (service !== "") throw new ApiError("NotFound", "unknown service");
    return { status: this.#isServing ? ServingStatus.SERVING : ServingStatus.NOT_SERVING };
  }

  async *watch({ service }: HealthCheckRequest, call: Call): AsyncGenerator<HealthCheckResponse> {
    call.onCancel(() => this.setServing(this.#isServing));
    let last: number | undefined;
    while (!call.isCancelled) {
      const status = service === "" ? this.check({ service }).status : ServingStatus.SERVICE_UNKNOWN;
      if (status !== last) {
        last = status;
        yield { status };
      } else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }
}
