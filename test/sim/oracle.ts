// What must be true, derived from the log alone. The oracle sees every entry that the member appends and keeps all
// of them; it replays them into a plain model and into a fresh store, exactly as far as the member has applied.
// After a crash it learns which entries survived, and begins again at the index that the store had reached.

import { Applier } from "../../node/apply/applier.ts";
import { Lessor } from "../../node/lease/lessor.ts";
import { must } from "../../node/lib/assert.ts";
import type { BackendReader, Bucket, Engine } from "../../node/lib/backend.ts";
import { equalBytes, textOf } from "../../node/lib/bytes.ts";
import { silentMetrics } from "../../node/lib/metrics.ts";
import { SeededRandom } from "../../node/lib/random.ts";
import { decodeMember } from "../../node/membership/member.ts";
import { Members } from "../../node/membership/members.ts";
import { Overlay } from "../../node/mvcc/overlay.ts";
import { unlimited } from "../../node/mvcc/range.ts";
import { Store } from "../../node/mvcc/store.ts";
import { WatchHub } from "../../node/mvcc/watch-hub.ts";
import type { LogContents } from "../../node/replica/log-store.ts";
import type { Replica } from "../../node/replica/replica.ts";
import { MemoryEngine } from "../../node/storage/memory/engine.ts";
import { codecs } from "../../node/wire/codecs.ts";
import type { Entry } from "../../node/wire/raft.ts";
import { raftCodecs } from "../../node/wire/raft-codec.ts";
import type { InternalRaftRequest } from "../../node/wire/rpc.ts";
import { Model, type Version } from "./model.ts";
import type { Promises } from "./promises.ts";

/** What applying one entry must have done. */
export interface Step {
  readonly index: number;
  readonly request: InternalRaftRequest | undefined;
  readonly answer: string | undefined;
  readonly changes: readonly Version[];
}

/** Of `meta`, which also tells what a flush wrote when, only compactions are compared, through the store. */
const comparedBuckets: readonly Bucket[] = ["key", "lease", "lease_keys", "alarm", "cluster", "members"];

export class Oracle {
  readonly #promises: Promises;
  readonly #minTtlSeconds: number;
  /** By index, from 1 on. */
  #entries: Entry[] = [];
  #steps = new Map<number, Step>();
  #appliedIndex = 0;
  #model = new Model();
  #replay: Replay;

  constructor(promises: Promises, minTtlSeconds: number) {
    this.#promises = promises;
    this.#minTtlSeconds = minTtlSeconds;
    this.#replay = new Replay(minTtlSeconds);
  }

  get lastIndex(): number {
    return this.#entries.length;
  }

  get appliedIndex(): number {
    return this.#appliedIndex;
  }

  /** As far as the member has applied. */
  get model(): Model {
    return this.#model;
  }

  /** The member appends; an entry may replace one that was never committed. */
  append(entry: Entry): void {
    this.#entries.length = entry.index - 1;
    this.#entries.push({ ...entry, data: entry.data.slice() });
  }

  /** The member has applied everything up to `index`. */
  advanceTo(index: number, onStep: (step: Step) => void = () => {}): void {
    while (this.#appliedIndex < index) {
      const entry = must(this.#entries[this.#appliedIndex], "only what was appended is applied", { index });
      const step = this.#apply(entry);
      this.#steps.set(entry.index, step);
      this.#appliedIndex = entry.index;
      onStep(step);
    }
  }

  stepAt(index: number): Step {
    return must(this.#steps.get(index), "the entry was applied", { index });
  }

  /** What a crash left of the log, held against what was there. `promised` was seen by a client. */
  survived(contents: LogContents, promised: { readonly index: number; readonly applied: number }): void {
    const { snapshot, entries } = contents;
    const last = snapshot.index + entries.length;
    this.#promises.hold(
      "acknowledgedWritesSurvive",
      last >= promised.index,
      () => `the log ends at index ${last}, a client was told of index ${promised.index}`,
    );
    this.#promises.hold(
      "appliedEntriesSurvive",
      last >= promised.applied,
      () => `the log ends at index ${last}, index ${promised.applied} was applied`,
    );
    for (const entry of entries) {
      const known = this.#entries[entry.index - 1];
      this.#promises.hold(
        "eachEntryIsOneRequest",
        known !== undefined && known.term === entry.term && equalBytes(known.data, entry.data),
        () => `entry ${entry.index} of term ${entry.term} is not the one appended last at its index`,
      );
    }
    this.#entries.length = last;
  }

  /** The member starts again with a store that holds everything up to `index`. */
  restart(index: number, onStep: (step: Step) => void): void {
    this.#appliedIndex = 0;
    this.#steps = new Map();
    this.#model = new Model();
    this.#replay = new Replay(this.#minTtlSeconds);
    this.advanceTo(index, onStep);
  }

  /** Holds the member's store against the replay. Both have applied the same entries, and the engine has them all. */
  compareStores(replica: Replica, engine: Engine): void {
    const { store, lessor } = replica;
    const equal = (actual: unknown, expected: unknown, what: string): void =>
      this.#promises.equal(
        "storeEqualsAReplay",
        actual,
        expected,
        () => `${what} at index ${this.#appliedIndex}`,
      );
    const replayed = this.#replay;
    equal(store.currentRevision, replayed.store.currentRevision, "revision");
    equal(store.compactRevision, replayed.store.compactRevision, "compact revision");
    equal(store.currentRevision, this.#model.revision, "revision of the model");
    const hash = hashKv(store, store.currentRevision);
    if (hash !== undefined) equal(hash, hashKv(replayed.store, store.currentRevision), "HashKV");
    equal([...lessor.leases()].sort().join(), [...replayed.lessor.leases()].sort().join(), "leases");
    equal(
      [...lessor.leases()].sort().join(),
      [...this.#model.leases.keys()].sort().join(),
      "leases of the model",
    );
    // Before the removals of a compaction are complete and flushed the records differ, and may.
    const { compaction } = new Store(new Overlay(engine));
    if (compaction.finishedRevision < compaction.revision) return;
    for (const bucket of comparedBuckets) {
      const expected = dump(replayed.overlay, bucket);
      for (const [i, record] of dump(engine, bucket).entries())
        equal(record, expected[i], `${bucket} record ${i}`);
      equal(dump(engine, bucket).length, expected.length, `records of ${bucket}`);
    }
  }

  /** HashKV of the replay; undefined where the revision is compacted. */
  hashKv(revision: number): number | undefined {
    return hashKv(this.#replay.store, revision);
  }

  #apply(entry: Entry): Step {
    const { index } = entry;
    const nothing: Step = { index, request: undefined, answer: undefined, changes: [] };
    if (entry.type === "EntryConfChange") {
      this.#replay.addMember(entry);
      return nothing;
    }
    if (entry.data.length === 0) return nothing;
    const request = codecs.InternalRaftRequest.decode(entry.data);
    const before = this.#model.revision;
    const answer = this.#model.apply(request);
    this.#replay.apply(request);
    const changes =
      this.#model.revision > before ? (this.#model.changes.get(this.#model.revision) ?? []) : [];
    return { index, request, answer, changes };
  }
}

/** The member's own state machines on a store that nothing ever happens to. */
class Replay {
  readonly overlay = new Overlay(new MemoryEngine());
  readonly members = new Members(this.overlay);
  readonly lessor: Lessor;
  readonly store: Store;
  readonly #applier: Applier;

  constructor(minTtlSeconds: number) {
    this.lessor = new Lessor(this.overlay, { minTtlSeconds });
    this.store = new Store(this.overlay, { leases: this.lessor, hashesCompactions: false });
    this.#applier = new Applier({
      store: this.store,
      lessor: this.lessor,
      members: this.members,
      hub: new WatchHub({ history: this.store.history, random: new SeededRandom(1), onSyncWanted() {} }),
      backend: this.overlay,
      nowMs: () => 0,
      metrics: silentMetrics,
    });
  }

  apply(request: InternalRaftRequest): void {
    this.#applier.apply(request);
    if (request.compaction !== undefined) while (this.store.compaction.step(unlimited) !== "idle");
  }

  addMember(entry: Entry): void {
    this.members.add(decodeMember(textOf(raftCodecs.ConfChange.decode(entry.data).context)));
  }
}

/** Undefined where the revision is compacted, or the hash one that a compaction took along and a restart forgets. */
function hashKv(store: Store, revision: number): number | undefined {
  const started = store.startHashKv(revision);
  if (!started.ok || "known" in started) return undefined;
  while (!started.job.step(unlimited));
  return started.job.result().hash;
}

/** Every record, as text. */
function dump(reader: BackendReader, bucket: Bucket): string[] {
  const lines: string[] = [];
  const cursor = reader.cursor(bucket, { start: new Uint8Array(0) });
  while (cursor.next()) lines.push(`${hex(cursor.key)}: ${hex(cursor.value)}`);
  cursor.close();
  return lines;
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("hex");
}
