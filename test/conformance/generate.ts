// Random histories. Every choice comes from the seed and from what the reference member answered before, so a
// seed repeats its history as long as the reference does.
import type { Random } from "../../node/lib/random.ts";
import type { Input, InputMessage } from "./messages.ts";
import type { HistoryModel } from "./model.ts";

export type Op =
  | { readonly kind: "call"; readonly method: string; readonly request: InputMessage }
  | { readonly kind: "keepAlive"; readonly request: InputMessage }
  | { readonly kind: "pickedLease" }
  | { readonly kind: "watch"; readonly stream: number; readonly request: InputMessage }
  | { readonly kind: "cancel"; readonly stream: number; readonly id: bigint }
  | { readonly kind: "progress"; readonly stream: number };

/** Watches that start in the future keep a stream from answering progress requests, so they have their own. */
export const futureStream = 2;
export const streamCount = 3;

const openWatchesMax = 24;
const longKeyLength = 3_000;
const txnOpsMax = 128;

const names = [
  "a",
  "a/",
  "a/1",
  "a/2",
  "a/2/x",
  "ab",
  "b",
  "c\0",
  "c\0\0",
  "c\0d",
  "\0",
  "\0\xff",
  "\xff",
  "\xff\xff",
];
const keyPool: readonly string[] = [
  ...names,
  ...Array.from({ length: 40 }, (_, i) => `k/${String(i).padStart(2, "0")}`),
  `k/long/${"x".repeat(longKeyLength)}`,
  "z\xfe\xff",
  "\x80\x81",
];

/** Revisions far outside of any history, for the answers at the edges of int64. */
const int64Max = 9223372036854775807n;
const int64Min = -9223372036854775808n;

export class HistoryGenerator {
  readonly #random: Random;
  readonly #model: HistoryModel;

  constructor(random: Random, model: HistoryModel) {
    this.#random = random;
    this.#model = model;
  }

  next(): Op {
    return this.#weighted<() => Op>([
      [260, () => this.#call("Put", this.#put())],
      [270, () => this.#call("Range", this.#range())],
      [60, () => this.#call("DeleteRange", this.#deleteRange())],
      [220, () => this.#call("Txn", this.#txn(0))],
      [5, () => this.#call("Txn", this.#tooManyOps())],
      [16, () => this.#compact()],
      [34, () => this.#hashKv()],
      [30, () => this.#leaseGrant()],
      [12, () => this.#call("LeaseRevoke", { ID: this.#leaseId() })],
      [18, () => this.#call("LeaseTimeToLive", { ID: this.#leaseId(), keys: this.#chance(60) })],
      [8, () => this.#call("LeaseLeases", {})],
      [12, () => ({ kind: "keepAlive", request: { ID: this.#leaseId() } })],
      [3, () => ({ kind: "pickedLease" })],
      [55, () => this.#watch()],
      [30, () => this.#cancel()],
      [14, () => ({ kind: "progress", stream: this.#below(streamCount) })],
      [6, () => this.#call("Status", {})],
      [4, () => this.#call("MemberList", { linearizable: this.#chance(50) })],
      [3, () => this.#call("Alarm", { action: "GET" })],
    ])();
  }

  #call(method: string, request: InputMessage): Op {
    return { kind: "call", method, request };
  }

  #put(): InputMessage {
    const ignoreValue = this.#chance(6);
    const ignoreLease = this.#chance(6);
    // One put in eight contradicts itself, or names a key that is not there.
    const wrong = this.#chance(12);
    const existing = (ignoreValue || ignoreLease) && !wrong;
    return {
      key: wrong && this.#chance(30) ? "" : existing ? this.#liveKey() : this.#key(),
      ...(ignoreValue && !wrong ? {} : { value: this.#value() }),
      ...(this.#chance(ignoreLease ? (wrong ? 60 : 0) : 25) ? { lease: this.#leaseId() } : {}),
      ...(this.#chance(40) ? { prev_kv: true } : {}),
      ...(ignoreValue ? { ignore_value: true } : {}),
      ...(ignoreLease ? { ignore_lease: true } : {}),
    };
  }

  #range(): InputMessage {
    const sorted = this.#chance(45);
    return {
      ...this.#span(this.#chance(75)),
      ...(this.#chance(40) ? { limit: this.#pick<Input>([1, 1, 2, 3, 5, 8, 13, 30, -1, 0, int64Max]) } : {}),
      ...(this.#chance(35) ? { revision: this.#revision() } : {}),
      ...(sorted
        ? { sort_order: this.#pick<Input>(["NONE", "ASCEND", "ASCEND", "DESCEND", "DESCEND"]) }
        : {}),
      ...(sorted ? { sort_target: this.#below(5) } : {}),
      ...(this.#chance(1) ? { sort_order: 7 } : {}),
      ...(this.#chance(1) ? { sort_target: 9 } : {}),
      ...(this.#chance(25) ? { serializable: true } : {}),
      ...(this.#chance(15) ? { keys_only: true } : {}),
      ...(this.#chance(12) ? { count_only: true } : {}),
      ...this.#filters(),
    };
  }

  #filters(): InputMessage {
    const fields = ["min_mod_revision", "max_mod_revision", "min_create_revision", "max_create_revision"];
    const chosen: Record<string, Input> = {};
    for (const field of fields) if (this.#chance(6)) chosen[field] = this.#pastRevision();
    return chosen;
  }

  #deleteRange(): InputMessage {
    return {
      ...this.#span(this.#chance(45), this.#chance(5)),
      ...(this.#chance(50) ? { prev_kv: true } : {}),
    };
  }

  #txn(depth: number): InputMessage {
    const ops = () => Array.from({ length: this.#below(4) }, () => this.#txnOp(depth));
    return {
      compare: Array.from({ length: this.#pick([0, 1, 1, 1, 1, 2]) }, () => this.#compare()),
      success: ops(),
      failure: ops(),
    };
  }

  #txnOp(depth: number): InputMessage {
    return this.#weighted<() => InputMessage>([
      [35, () => ({ request_put: this.#put() })],
      [30, () => ({ request_range: this.#range() })],
      [15, () => ({ request_delete_range: this.#txnDelete() })],
      [depth < 3 ? 20 : 0, () => ({ request_txn: this.#txn(depth + 1) })],
      [1, () => ({})],
    ])();
  }

  /**
   * Not up to the last key: the check for overlapping operations does not see such an end, and a put with
   * ignore_value of a key deleted before it in the same transaction ends a real etcd.
   */
  #txnDelete(): InputMessage {
    const request = this.#deleteRange();
    return request["range_end"] === "\0" ? { ...request, range_end: undefined } : request;
  }

  #tooManyOps(): InputMessage {
    const count = txnOpsMax + this.#below(2);
    const puts = Array.from({ length: count }, (_, i) => ({ request_put: { key: `many/${i}`, value: "m" } }));
    return { compare: [], [this.#chance(50) ? "success" : "failure"]: puts };
  }

  #compare(): InputMessage {
    const live = this.#liveKey();
    const key = this.#chance(75) ? live : this.#key();
    const known = this.#model.live.get(key);
    // Mostly what the key holds, so that both branches run about equally often.
    const near = (value: number) => value + (this.#chance(40) ? 0 : this.#below(5) - 2);
    const operand = this.#weighted<InputMessage>([
      [20, { target: "VERSION", version: near(known?.version ?? 0) }],
      [20, { target: "CREATE", create_revision: near(known?.createRevision ?? 0) }],
      [20, { target: "MOD", mod_revision: near(known?.modRevision ?? 0) }],
      [20, { target: "VALUE", value: this.#chance(50) ? (known?.value ?? "") : this.#value() }],
      [
        20,
        {
          target: "LEASE",
          lease: (known?.lease ?? 0n) + (this.#chance(40) ? 0n : BigInt(this.#below(3)) - 1n),
        },
      ],
      [3, { target: this.#below(5) }],
    ]);
    return {
      key: this.#chance(1) ? "" : key,
      result: this.#below(4),
      ...operand,
      ...(this.#chance(15) ? { range_end: this.#pick([prefixEnd(key), "\0"]) } : {}),
    };
  }

  #compact(): Op {
    const { compacted, revision } = this.#model;
    const target = this.#weighted<() => number | bigint>([
      // Not a first one at 0: etcd then keeps a hash that answers for "the current revision" ever after.
      [60, () => compacted + 1 + this.#below(Math.max(1, Math.floor((revision - compacted) / 2)))],
      [10, () => revision],
      [compacted > 0 ? 8 : 0, () => compacted],
      [8, () => revision + 1 + this.#below(50)],
      [compacted > 0 ? 5 : 0, () => 0],
      [4, () => -1],
      [2, () => int64Max],
      [2, () => int64Min],
    ])();
    return this.#call("Compact", { revision: target, ...(this.#chance(30) ? { physical: true } : {}) });
  }

  #hashKv(): Op {
    const { compactions } = this.#model;
    if (compactions.length > 0 && this.#chance(15))
      return this.#call("HashKV", { revision: this.#pick(compactions.slice(-12)) });
    return this.#call("HashKV", { revision: this.#chance(50) ? 0 : this.#revision() });
  }

  #leaseGrant(): Op {
    const { leases } = this.#model;
    const fresh = () =>
      this.#pick([1n + BigInt(this.#below(1_000_000)), -1n - BigInt(this.#below(1_000)), int64Max]);
    const id = leases.length > 0 && this.#chance(10) ? this.#pick(leases) : fresh();
    // Long and far apart: nothing expires within a run, and the order of LeaseLeases, which is by expiry, holds.
    const seconds = 1_000 * (2 + this.#below(5_000));
    const ttl = this.#chance(5)
      ? this.#pick<number | bigint>([9_000_000_000, 9_000_000_001, int64Max])
      : seconds;
    return this.#call("LeaseGrant", { TTL: ttl, ID: id });
  }

  #watch(): Op {
    if (this.#model.watches.length >= openWatchesMax) return this.#cancel();
    const stream = this.#below(streamCount);
    const start = stream === futureStream ? this.#futureStart() : this.#pastStart();
    const used = this.#model.watches.filter((watch) => watch.stream === stream).map((watch) => watch.id);
    const explicit = 1_000 + this.#below(1_000);
    const duplicate = used.length > 0 && this.#chance(12) ? this.#pick(used) : explicit;
    const request = {
      ...this.#span(this.#chance(70), this.#chance(6)),
      ...(start === undefined ? {} : { start_revision: start }),
      ...(this.#chance(40) ? { prev_kv: true } : {}),
      ...(this.#chance(25)
        ? { filters: this.#pick<Input>([["NOPUT"], ["NODELETE"], ["NOPUT", "NODELETE"]]) }
        : {}),
      ...(this.#chance(30) ? { fragment: true } : {}),
      ...(this.#chance(20) ? { progress_notify: true } : {}),
      ...(this.#chance(30) ? { watch_id: duplicate } : {}),
    };
    return { kind: "watch", stream, request };
  }

  #futureStart(): number | undefined {
    return this.#chance(60) ? this.#model.revision + 1 + this.#below(40) : undefined;
  }

  #pastStart(): number | bigint | undefined {
    const { compacted, revision } = this.#model;
    return this.#weighted<() => number | bigint | undefined>([
      [40, () => undefined],
      [35, () => Math.max(1, compacted) + this.#below(Math.max(1, revision - compacted))],
      [10, () => Math.max(1, compacted)],
      [10, () => (compacted > 1 ? 1 + this.#below(compacted - 1) : undefined)],
      [5, () => this.#pick([-1, -5, int64Min])],
    ])();
  }

  #cancel(): Op {
    const { watches } = this.#model;
    if (watches.length === 0 || this.#chance(10))
      return { kind: "cancel", stream: this.#below(streamCount), id: 77_777n };
    const { stream, id } = this.#pick(watches);
    return { kind: "cancel", stream, id };
  }

  /** A key, or a range of one of the shapes clients use. `odd` allows shapes that match nothing or everything. */
  #span(isRange: boolean, odd = this.#chance(12)): InputMessage {
    const key = this.#key();
    const [low, high] = [key, this.#key()].sort() as [string, string];
    if (!isRange) return { key: odd && this.#chance(30) ? "" : key };
    const shapes: readonly [number, () => InputMessage][] = [
      [40, () => ({ key: "k/", range_end: "k0" })],
      [20, () => ({ key, range_end: prefixEnd(key) })],
      [20, () => ({ key: low, range_end: high })],
      [odd ? 20 : 0, () => ({ key, range_end: "\0" })],
      [odd ? 15 : 0, () => ({ key: "\0", range_end: "\0" })],
      [odd ? 20 : 0, () => ({ key: high, range_end: low })],
      [odd ? 5 : 0, () => ({ key: "", range_end: "\0" })],
    ];
    return this.#weighted(shapes)();
  }

  /** Current, past, compacted and future revisions, and the far ends of int64. */
  #revision(): number | bigint {
    const { compacted, revision } = this.#model;
    return this.#weighted<() => number | bigint>([
      [50, () => this.#pastRevision()],
      [10, () => revision],
      [10, () => compacted],
      [8, () => Math.max(0, compacted - 1 - this.#below(20))],
      [8, () => revision + 1 + this.#below(20)],
      [4, () => -1 - this.#below(5)],
      [1, () => int64Max],
      [1, () => int64Min],
    ])();
  }

  #pastRevision(): number {
    const { compacted, revision } = this.#model;
    return Math.max(1, compacted) + this.#below(Math.max(1, revision - compacted));
  }

  #key(): string {
    return this.#pick(keyPool);
  }

  #liveKey(): string {
    const keys = [...this.#model.live.keys()];
    return keys.length === 0 ? this.#key() : this.#pick(keys);
  }

  #leaseId(): bigint {
    const { leases, goneLeases } = this.#model;
    if (leases.length > 0 && this.#chance(85)) return this.#pick(leases);
    return goneLeases.length > 0 && this.#chance(50) ? this.#pick(goneLeases) : 424_242n;
  }

  #value(): string {
    return this.#weighted<() => string>([
      [10, () => ""],
      [60, () => `v${this.#below(6)}`],
      [25, () => `value-${this.#below(100_000)}`],
      [4, () => `\0\xff${"b".repeat(this.#below(2_000))}`],
      [1, () => "L".repeat(60_000 + this.#below(60_000))],
    ])();
  }

  #below(bound: number): number {
    return this.#random.below(bound);
  }

  #chance(percent: number): boolean {
    return this.#random.below(100) < percent;
  }

  #pick<T>(items: readonly T[]): T {
    return items[this.#random.below(items.length)] as T;
  }

  #weighted<T>(choices: readonly (readonly [number, T])[]): T {
    const total = choices.reduce((sum, [weight]) => sum + weight, 0);
    let left = this.#random.below(total);
    for (const [weight, choice] of choices) {
      if (left < weight) return choice;
      left -= weight;
    }
    throw new Error("weights are not positive");
  }
}

/** The end of the range of all keys that begin with `key`. */
export function prefixEnd(key: string): string {
  const kept = key.replace(/\xff+$/, "");
  if (kept === "") return "\0";
  return kept.slice(0, -1) + String.fromCharCode(kept.charCodeAt(kept.length - 1) + 1);
}
