// Random requests. Every choice comes from the seed and from what the model knows, so that many requests meet
// something: revisions near the current and the compacted one, leases that exist, compares that hold.

import { ApiError } from "../../node/api/errors.ts";
import { checkTxn } from "../../node/api/kv-checks.ts";
import { emptyBytes, utf8 } from "../../node/lib/bytes.ts";
import type { LeaseId } from "../../node/lib/ids.ts";
import { leaseId, nodeId, noLease } from "../../node/lib/ids.ts";
import type { Random } from "../../node/lib/random.ts";
import type { WatchCreateRequest } from "../../node/mvcc/watch-stream.ts";
import { codecs } from "../../node/wire/codecs.ts";
import {
  AlarmAction,
  type AlarmRequest,
  AlarmType,
  type Compare,
  CompareResult,
  CompareTarget,
  type DeleteRangeRequest,
  type PutRequest,
  type RangeRequest,
  type RequestOp,
  SortOrder,
  SortTarget,
  type TxnRequest,
} from "../../node/wire/rpc.ts";
import type { Model } from "./model.ts";
import type { Settings } from "./settings.ts";

const txnOpsMax = 16;
const nestingMax = 2;
const leaseIds = 12;

export class Load {
  readonly #random: Random;
  readonly #settings: Settings;
  #values = 0;

  constructor(random: Random, settings: Settings) {
    this.#random = random;
    this.#settings = settings;
  }

  below(bound: number): number {
    return this.#random.below(bound);
  }

  chance(percent: number): boolean {
    return this.below(100) < percent;
  }

  pick<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)] as T;
  }

  key(): string {
    // A hot set within the keys.
    const hot = Math.min(3, this.#settings.keys);
    return `k${String(this.below(this.chance(50) ? hot : this.#settings.keys)).padStart(2, "0")}`;
  }

  leaseId(): LeaseId {
    const id = BigInt(1 + this.below(leaseIds));
    return leaseId(id === 1n ? -1n : id);
  }

  put(model: Model): PutRequest {
    const ignoreValue = this.chance(5);
    const ignoreLease = this.chance(5);
    const known = [...model.leases.keys()];
    const lease = known.length > 0 && this.chance(90) ? leaseId(this.pick(known)) : this.leaseId();
    return codecs.PutRequest.create({
      key: utf8(this.key()),
      value: ignoreValue ? emptyBytes : utf8(this.#value()),
      lease: ignoreLease || this.chance(70) ? noLease : lease,
      prevKv: this.chance(40),
      ignoreValue,
      ignoreLease,
    });
  }

  delete(): DeleteRangeRequest {
    return codecs.DeleteRangeRequest.create({ ...this.#interval(80), prevKv: this.chance(40) });
  }

  range(model: Model): RangeRequest {
    const bound = (): number => (this.chance(10) ? this.below(model.revision + 2) : 0);
    return codecs.RangeRequest.create({
      ...this.#interval(40),
      limit: this.chance(30) ? 1 + this.below(4) : 0,
      revision: this.chance(30) ? this.#revision(model) : 0,
      sortOrder: this.chance(30) ? this.pick(Object.values(SortOrder).filter(isNumber)) : SortOrder.NONE,
      sortTarget: this.chance(30) ? this.pick(Object.values(SortTarget).filter(isNumber)) : SortTarget.KEY,
      keysOnly: this.chance(10),
      countOnly: this.chance(10),
      minModRevision: bound(),
      maxModRevision: bound(),
      minCreateRevision: bound(),
      maxCreateRevision: bound(),
    });
  }

  /** One that the service would let through. */
  txn(model: Model): TxnRequest {
    for (;;) {
      const request = this.#txn(model, 0);
      try {
        checkTxn(request, txnOpsMax);
        return request;
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
      }
    }
  }

  /** Above the last one most of the time, and rarely in the future. */
  compactRevision(model: Model): number {
    const last = Math.max(model.compactRevision, 0);
    return this.chance(90) ? last + this.below(model.revision - last + 1) : this.#revision(model);
  }

  /** Raised rarely, and soon lowered again. */
  alarm(): AlarmRequest {
    const action = this.chance(8) ? AlarmAction.ACTIVATE : AlarmAction.DEACTIVATE;
    return codecs.AlarmRequest.create({ action, memberID: nodeId(1), alarm: AlarmType.NOSPACE });
  }

  ttlSeconds(): number {
    if (this.chance(3)) return 9_000_000_001;
    return this.chance(10) ? 400 : 1 + this.below(6);
  }

  watch(model: Model): WatchCreateRequest {
    return {
      ...this.#interval(30),
      startRevision: this.chance(40) ? 0 : this.#revision(model),
      progressNotify: this.chance(50),
      filters: this.pick([[], [], [], [0], [1]]),
      prevKv: this.chance(50),
      watchId: 0n,
      fragment: this.chance(20),
    };
  }

  #revision(model: Model): number {
    const near = this.chance(50) ? model.revision : Math.max(model.compactRevision, 1);
    return Math.max(1, near + this.below(21) - 15);
  }

  #value(): string {
    const { valueBytesMax } = this.#settings;
    return `v${this.#values++}`.padEnd(this.below(valueBytesMax), ".");
  }

  #interval(singlePercent: number): { readonly key: Uint8Array; readonly rangeEnd: Uint8Array } {
    const key = this.key();
    if (this.chance(singlePercent)) return { key: utf8(key), rangeEnd: emptyBytes };
    const end = this.chance(30) ? "\0" : this.key();
    return end !== "\0" && end <= key
      ? { key: utf8(end), rangeEnd: utf8(`${key}\0`) }
      : { key: utf8(key), rangeEnd: utf8(end) };
  }

  #txn(model: Model, depth: number): TxnRequest {
    const list = <T>(countMax: number, make: () => T): T[] =>
      Array.from({ length: this.below(countMax + 1) }, make);
    return codecs.TxnRequest.create({
      compare: list(2, () => this.#compare(model)),
      success: list(3, () => this.#op(model, depth)),
      failure: list(2, () => this.#op(model, depth)),
    });
  }

  #op(model: Model, depth: number): RequestOp {
    const kind = this.below(depth < nestingMax ? 10 : 8);
    if (kind < 3) return { request: { case: "requestPut", value: this.put(model) } };
    if (kind < 5) return { request: { case: "requestDeleteRange", value: this.delete() } };
    if (kind < 8) return { request: { case: "requestRange", value: this.range(model) } };
    return { request: { case: "requestTxn", value: this.#txn(model, depth + 1) } };
  }

  #compare(model: Model): Compare {
    const { key, rangeEnd } = this.#interval(80);
    const known = model.at(new TextDecoder().decode(key), model.revision);
    const near = (value: number): number => Math.max(0, value + (this.chance(60) ? 0 : this.below(3) - 1));
    const result = this.pick(Object.values(CompareResult).filter(isNumber));
    const base = { key, rangeEnd, result };
    switch (this.below(5)) {
      case 0:
        return {
          ...base,
          target: CompareTarget.VERSION,
          targetUnion: { case: "version", value: near(known?.version ?? 0) },
        };
      case 1:
        return {
          ...base,
          target: CompareTarget.CREATE,
          targetUnion: { case: "createRevision", value: near(known?.createRevision ?? 0) },
        };
      case 2:
        return {
          ...base,
          target: CompareTarget.MOD,
          targetUnion: { case: "modRevision", value: near(known?.modRevision ?? 0) },
        };
      case 3:
        return {
          ...base,
          target: CompareTarget.LEASE,
          targetUnion: { case: "lease", value: leaseId(known?.lease ?? 0n) },
        };
      default:
        return {
          ...base,
          target: CompareTarget.VALUE,
          targetUnion: { case: "value", value: utf8(known?.value ?? "v") },
        };
    }
  }
}

/** An enum's table also has its names. */
function isNumber(value: unknown): value is number {
  return typeof value === "number";
}
