// Ids of requests in the log, laid out as etcd lays them out: 16 bits of the member, 40 bits of start time in
// milliseconds, 8 bits of count that run over into the time. Two members never make the same id, and one member
// not after a restart, because time has passed faster than ids were used.

import type { NodeId } from "../lib/ids.ts";

export class RequestIds {
  readonly #prefix: bigint;
  #suffix: number;

  /** `startMs`: wall-clock milliseconds at the start of the process; it reaches the log only inside ids. */
  constructor(member: NodeId, startMs: number) {
    this.#prefix = BigInt.asUintN(16, member) << 48n;
    // Below 2^40 milliseconds times 2^8 fits into a number.
    this.#suffix = (Math.floor(startMs) % 2 ** 40) * 256;
  }

  next(): bigint {
    this.#suffix = (this.#suffix + 1) % 2 ** 48;
    return this.#prefix | BigInt(this.#suffix);
  }
}
