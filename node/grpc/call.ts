// A call as handlers see it, on top of grpc-js.

import type { Metadata } from "@grpc/grpc-js";
import type { Call } from "../api/call.ts";
import type { ApiError } from "../api/errors.ts";

/** What every kind of grpc-js call offers. */
export interface SurfaceCall {
  readonly cancelled: boolean;
  readonly metadata: Metadata;
  getDeadline(): Date | number;
  getPeer(): string;
  once(event: "cancelled", fn: () => void): unknown;
}

export class GrpcCall implements Call {
  readonly #surface: SurfaceCall;
  readonly #onCancel: (() => void)[] = [];
  #metadata: ReadonlyMap<string, string> | undefined;
  /** Set when the last word was said, by us or by the transport. */
  #isEnded = false;
  #isCancelled = false;
  readonly #onAbort: (error: ApiError) => void;

  /** `onAbort` ends the call for its handler. */
  constructor(surface: SurfaceCall, onAbort: (error: ApiError) => void) {
    this.#surface = surface;
    this.#onAbort = onAbort;
    // grpc-js emits "cancelled" after every call, also after one that we ended.
    surface.once("cancelled", () => this.cancel());
    if (surface.cancelled) this.cancel();
  }

  get metadata(): ReadonlyMap<string, string> {
    this.#metadata ??= textMetadata(this.#surface.metadata);
    return this.#metadata;
  }

  get isCancelled(): boolean {
    return this.#isCancelled;
  }

  /** True once there is nothing more to say to the client. */
  get isEnded(): boolean {
    return this.#isEnded;
  }

  get isPastDeadline(): boolean {
    return Number(this.#surface.getDeadline()) <= Date.now();
  }

  get peer(): string {
    return this.#surface.getPeer();
  }

  /** The first value of one header, without building the whole map. */
  header(name: string): string | undefined {
    const value = this.#surface.metadata.get(name)[0];
    return typeof value === "string" ? value : undefined;
  }

  onCancel(fn: () => void): void {
    if (this.#isCancelled) fn();
    else if (!this.#isEnded) this.#onCancel.push(fn);
  }

  abort(error: ApiError): void {
    this.#onAbort(error);
  }

  /** After this, a "cancelled" of the transport means nothing. */
  end(): void {
    this.#isEnded = true;
    this.#onCancel.length = 0;
  }

  /** Tells the handler to stop: the client went away, or the server ends the call. */
  cancel(): void {
    if (this.#isEnded || this.#isCancelled) return;
    this.#isCancelled = true;
    for (const fn of this.#onCancel.splice(0)) fn();
  }
}

function textMetadata(metadata: Metadata): ReadonlyMap<string, string> {
  const result = new Map<string, string>();
  for (const [name, value] of Object.entries(metadata.getMap())) {
    if (typeof value === "string") result.set(name, value);
  }
  return result;
}
