// Ids of requests in the log, laid out as etcd lays them out: 16 bits of the member, 40 bits of start time in
// milliseconds, 8 bits of count that run over into the time. Two members never make the same id, and one member
// not after a restart, because time has passed faster than ids were used.
//
// On this member a request goes by its number since the start, which costs no bigint. Hot: every proposal passes here.

import type { NodeId } from "../lib/ids.ts";

const two32 = 0x1_0000_0000;
const two48 = 0x1_0000_0000_0000;

export class RequestIds {
  readonly #member: number;
  /** The lower 48 bits of the id of request 0. */
  readonly #start: number;
  #last = 0;

  /** `startMs`: wall-clock milliseconds at the start of the process; it reaches the log only inside ids. */
  constructor(member: NodeId, startMs: number) {
    this.#member = Number(BigInt.asUintN(16, member));
    // Below 2^40 milliseconds times 2^8 fits into a number.
    this.#start = (Math.floor(startMs) % 2 ** 40) * 256;
  }

  /** The number of a new request. */
  next(): number {
    this.#last++;
    return this.#last;
  }

  /** The lower 32 bits of a request's id. */
  low(request: number): number {
    return (this.#start + request) >>> 0;
  }

  /** The upper 32 bits of a request's id. */
  high(request: number): number {
    const upper = Math.floor((this.#start + request) / two32) & 0xffff;
    return ((this.#member << 16) | upper) >>> 0;
  }

  wide(request: number): bigint {
    return (BigInt(this.high(request)) << 32n) | BigInt(this.low(request));
  }

  requestOf(id: bigint): number | undefined {
    const bits = BigInt.asUintN(64, id);
    return this.request(Number(bits & 0xffff_ffffn), Number(bits >> 32n));
  }

  /** The number of this member's request with that id; undefined for an id of another member. */
  request(low: number, high: number): number | undefined {
    if (high >>> 16 !== this.#member) return undefined;
    const count = (high & 0xffff) * two32 + low - this.#start;
    return count < 0 ? count + two48 : count;
  }
}
