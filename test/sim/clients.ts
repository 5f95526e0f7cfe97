// Clients that read and write. Each call goes to the replica as the services make it, and each answer is held
// against what the log says it must be.

import type { Outcome } from "../../node/apply/outcome.ts";
import { isReadOnly, isSerializable } from "../../node/apply/txn.ts";
import { textOf, utf8 } from "../../node/lib/bytes.ts";
import { type LeaseId, leaseId } from "../../node/lib/ids.ts";
import { codecs } from "../../node/wire/codecs.ts";
import type { InternalRaftRequest, RangeRequest, TxnRequest } from "../../node/wire/rpc.ts";
import type { LeaseLedger } from "./leases.ts";
import type { Life, Operation } from "./life.ts";
import type { Load } from "./load.ts";
import type { Oracle } from "./oracle.ts";
import type { Promises } from "./promises.ts";
import type { Scheduler } from "./scheduler.ts";
import {
  okText,
  rangeText,
  refusedText,
  textOfKeyValue,
  textOfOutcome,
  textOfRange,
  textOfTxn,
} from "./text.ts";
import type { Trace } from "./trace.ts";

export interface ClientPorts {
  readonly load: Load;
  readonly scheduler: Scheduler;
  readonly trace: Trace;
  readonly promises: Promises;
  readonly oracle: Oracle;
  readonly ledger: LeaseLedger;
  /** Brings the oracle to where the member is. */
  readonly follow: () => void;
  readonly reach: (
    place: "writes acknowledged" | "writes refused" | "writes of unknown outcome" | "reads",
  ) => void;
}

/** What a client knew when it sent a request. */
interface Sent {
  readonly index: number;
  readonly revision: number;
}

/** Refusals of requests that are not in the log, or may be. */
const unapplied: ReadonlySet<string> = new Set([
  "requestTooLarge",
  "stopped",
  "timeout",
  "timeoutLeaderFailure",
  "tooManyRequests",
]);

export class Clients {
  readonly #ports: ClientPorts;
  /** The newest that any client was shown: everything up to it must survive. */
  #seenIndex = 0;
  #seenRevision = 0;
  readonly #acknowledged = new Set<number>();
  /** Requests sent and not found in the log yet, by their bytes. */
  readonly #sent = new Map<string, number>();

  constructor(ports: ClientPorts) {
    this.#ports = ports;
  }

  get seenIndex(): number {
    return this.#seenIndex;
  }

  /** A client was shown the state at this index. */
  saw(index: number, revision: number): void {
    this.#seenIndex = Math.max(this.#seenIndex, index);
    this.#seenRevision = Math.max(this.#seenRevision, revision);
  }

  /** Whether some client sent this request, and it was not found before. */
  takeSent(request: InternalRaftRequest): boolean {
    const key = contentOf(request);
    const count = this.#sent.get(key) ?? 0;
    if (count === 0) return false;
    this.#sent.set(key, count - 1);
    return true;
  }

  /** Makes a random call. Returns its text for the trace. */
  act(life: Life): string {
    const { load, oracle } = this.#ports;
    const { model } = oracle;
    const kind = load.below(100);
    if (kind < 32) return this.propose(life, { put: load.put(model) });
    if (kind < 40) return this.propose(life, { deleteRange: load.delete() });
    if (kind < 56) return this.#txn(life, load.txn(model));
    if (kind < 60) {
      const compaction = { revision: load.compactRevision(model), physical: false };
      return this.propose(life, { compaction });
    }
    if (kind < 66) {
      return this.propose(life, { leaseGrant: { ID: load.leaseId(), TTL: load.ttlSeconds() } });
    }
    if (kind < 68) {
      return this.propose(life, { leaseRevoke: { ID: load.leaseId() } });
    }
    if (kind < 76) return this.#keepAlive(life, load.leaseId());
    if (kind < 80) return this.#timeToLive(life, load.leaseId());
    if (kind < 83) return this.propose(life, { alarm: load.alarm() });
    if (kind < 85) return this.#hash(life);
    const request = load.range(model);
    return load.chance(50) ? this.#serializableRange(life, request) : this.#range(life, request);
  }

  /** Writes. `done` runs when the write was acknowledged. */
  propose(life: Life, operation: Operation, done: () => void = () => {}): string {
    const content = contentOf(operation);
    this.#sent.set(content, (this.#sent.get(content) ?? 0) + 1);
    const sent = this.#knowledge();
    life.propose(operation, (outcome) => {
      this.#ports.trace.note("answer", textOfOutcome(outcome));
      if (!outcome.ok && unapplied.has(outcome.refusal)) {
        this.#ports.reach("writes of unknown outcome");
        return;
      }
      this.#acknowledge(life, { operation: content, sent, outcome });
      done();
    });
    return textOfOperation(operation);
  }

  #acknowledge(
    life: Life,
    write: { readonly operation: string; readonly sent: Sent; readonly outcome: Outcome },
  ): void {
    const { promises, oracle, follow } = this.#ports;
    const { operation, sent, outcome } = write;
    follow();
    const index = life.replica.appliedIndex;
    const step = oracle.stepAt(index);
    promises.hold(
      "eachEntryIsOneRequest",
      step.request !== undefined && contentOf(step.request) === operation && !this.#acknowledged.has(index),
      () => `the answer to a request came with entry ${index}, which is another`,
    );
    this.#acknowledged.add(index);
    promises.equal("answersFollowTheLog", textOfOutcome(outcome), step.answer, () => `entry ${index}`);
    if (life.hasFailed) {
      promises.hold(
        "nothingIsAcknowledgedAfterAFailure",
        index <= life.syncedIndex,
        () => `entry ${index} was answered, the log was synced up to ${life.syncedIndex}`,
      );
    }
    this.#ports.reach(outcome.ok ? "writes acknowledged" : "writes refused");
    if (outcome.ok) this.#neverBack(outcome.revision, sent);
    this.saw(index, outcome.ok ? outcome.revision : 0);
  }

  #txn(life: Life, request: TxnRequest): string {
    if (!isReadOnly(request)) return this.propose(life, { txn: request });
    const read = (): void => {
      const { replica } = life;
      this.#ports.follow();
      const outcome = replica.applier.readTxn(request);
      const actual = outcome.ok
        ? okText(replica.store.currentRevision, textOfTxn(outcome.value))
        : refusedText(outcome.refusal);
      const promise = isSerializable(request) ? "serializableReadsAreConsistent" : "readsAreLinearizable";
      const expected = this.#ports.oracle.model.readTxn(request);
      this.#ports.promises.equal(promise, actual, expected, () => "a read-only transaction");
      this.#readDone(life, actual);
    };
    if (isSerializable(request)) read();
    else this.#afterBarrier(life, read);
    return "read-only txn";
  }

  #range(life: Life, request: RangeRequest): string {
    this.#afterBarrier(life, () => this.#readRange(life, request, "readsAreLinearizable"));
    return `range ${textOf(request.key)}`;
  }

  #serializableRange(life: Life, request: RangeRequest): string {
    this.#readRange(life, request, "serializableReadsAreConsistent");
    return `serializable range ${textOf(request.key)}`;
  }

  /** Reads at once or in slices; the answer is that of the moment in which it began. */
  #readRange(
    life: Life,
    request: RangeRequest,
    promise: "readsAreLinearizable" | "serializableReadsAreConsistent",
  ): void {
    const { promises, oracle, follow, load, scheduler } = this.#ports;
    const { store, appliedIndex } = life.replica;
    follow();
    const expected = oracle.model.range(request);
    const finish = (actual: string): void => {
      promises.equal(promise, actual, expected, () => `a range at index ${appliedIndex}`);
      this.#readDone(life, actual);
    };
    if (request.rangeEnd.length > 0 && load.chance(30) && isStreamable(request)) {
      this.#readStream(life, request, finish);
      return;
    }
    const started = request.rangeEnd.length === 0 || load.chance(30) ? undefined : store.startRange(request);
    if (started === undefined || !started.ok) {
      finish(textOfRange(store.range(request)));
      return;
    }
    const limits = { recordsMax: 1 + load.below(5), bytesMax: 10_000 };
    const slice = (): void => {
      if (started.job.step(limits)) finish(textOfRange(started.job.answer()));
      else scheduler.at(load.below(20), { life: life.number, kind: "slice", run: slice });
    };
    slice();
  }

  /** The same range in chunks. */
  #readStream(life: Life, request: RangeRequest, finish: (actual: string) => void): void {
    const { load, scheduler } = this.#ports;
    const started = life.replica.store.startRangeStream(request, 1 + load.below(500));
    if (!started.ok) {
      finish(refusedText(started.reason));
      return;
    }
    const limits = { recordsMax: 1 + load.below(5), bytesMax: 10_000 };
    const kvs: string[] = [];
    const slice = (): void => {
      const progress = started.job.step(limits);
      if (progress.kind === "chunk") {
        kvs.push(...progress.chunk.kvs.map(textOfKeyValue));
        const { end } = progress.chunk;
        if (end !== undefined) {
          finish(okText(end.revision, rangeText({ kvs, count: end.count, more: end.more })));
          return;
        }
      }
      scheduler.at(load.below(20), { life: life.number, kind: "slice", run: slice });
    };
    slice();
  }

  /** HashKV at some revision, while writes and compactions go on. */
  #hash(life: Life): string {
    const { load, oracle, promises, scheduler, follow } = this.#ports;
    follow();
    const revision = Math.max(1, oracle.model.revision - load.below(20));
    const expected = oracle.hashKv(revision);
    const started = life.replica.store.startHashKv(revision);
    const finish = (hash: number | undefined): void => {
      promises.equal("hashEqualsAReplay", hash, expected, () => `HashKV at revision ${revision}`);
      this.#readDone(life, `hash ${hash}`);
    };
    if (!started.ok) finish(undefined);
    // The hash that a compaction took along is its own, and gone with a restart.
    else if ("job" in started) {
      const { job } = started;
      const slice = (): void => {
        if (job.step({ recordsMax: 1 + load.below(20), bytesMax: 10_000 })) finish(job.result().hash);
        else scheduler.at(load.below(20), { life: life.number, kind: "slice", run: slice });
      };
      slice();
    }
    return `hash ${revision}`;
  }

  #keepAlive(life: Life, id: LeaseId): string {
    const { ledger, promises, oracle, scheduler } = this.#ports;
    this.#afterBarrier(life, () => {
      const renewedMs = scheduler.nowMs;
      const outcome = life.replica.lessor.renew(id, life.nowMs());
      const isKnown = oracle.model.leases.has(id);
      promises.equal(
        "leaseAnswersAreTrue",
        outcome.ok || outcome.reason !== "not found",
        isKnown,
        () => `keepalive of lease ${id}`,
      );
      if (!outcome.ok) return;
      const answered = (): void => {
        ledger.renewed(id, renewedMs);
        this.#readDone(life, `keepalive ${outcome.ttlSeconds}`);
      };
      if (!outcome.hasCheckpoint) answered();
      else this.propose(life, { leaseCheckpoint: { checkpoints: [{ ID: id, remainingTTL: 0 }] } }, answered);
    });
    return `keepalive ${id}`;
  }

  #timeToLive(life: Life, id: LeaseId): string {
    const { promises, oracle } = this.#ports;
    this.#afterBarrier(life, () => {
      const { lessor } = life.replica;
      const status = lessor.status(id, life.nowMs());
      const actual =
        status === undefined ? "gone" : `${status.ttlSeconds} ${lessor.keysOf(id).map(textOf).sort().join()}`;
      const ttl = oracle.model.leases.get(id);
      const expected = ttl === undefined ? "gone" : `${ttl} ${oracle.model.keysOf(id).join()}`;
      promises.equal("leaseAnswersAreTrue", actual, expected, () => `lease ${id}`);
      this.#readDone(life, actual);
    });
    return `ttl ${id}`;
  }

  #afterBarrier(life: Life, read: () => void): void {
    const sent = this.#knowledge();
    life.replica.readBarrier((outcome) => {
      this.#ports.trace.note("barrier", outcome.ok ? "ok" : outcome.reason);
      if (!outcome.ok) return;
      this.#ports.follow();
      const { appliedIndex, store } = life.replica;
      this.#ports.promises.hold(
        "readsAreLinearizable",
        appliedIndex >= sent.index,
        () => `a read at index ${appliedIndex} began after index ${sent.index} was seen`,
      );
      this.#neverBack(store.currentRevision, sent);
      read();
    });
  }

  #readDone(life: Life, text: string): void {
    this.#ports.reach("reads");
    this.#ports.trace.note("read", text);
    this.saw(life.replica.appliedIndex, life.replica.store.currentRevision);
  }

  #neverBack(revision: number, sent: Sent): void {
    this.#ports.promises.hold(
      "revisionsNeverGoBack",
      revision >= sent.revision,
      () => `revision ${revision} after ${sent.revision}`,
    );
  }

  #knowledge(): Sent {
    return { index: this.#seenIndex, revision: this.#seenRevision };
  }
}

/** The service refuses the others. */
function isStreamable(request: RangeRequest): boolean {
  const { sortOrder, sortTarget, minModRevision, maxModRevision } = request;
  const { minCreateRevision, maxCreateRevision } = request;
  const numbers = [
    sortOrder,
    sortTarget,
    minModRevision,
    maxModRevision,
    minCreateRevision,
    maxCreateRevision,
  ];
  return numbers.every((value) => value === 0);
}

/** A request without what the member adds. */
function contentOf(operation: Operation): string {
  const { header: _header, ...rest } = operation as Partial<InternalRaftRequest>;
  const bytes = codecs.InternalRaftRequest.encode(codecs.InternalRaftRequest.create(rest));
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
}

function textOfOperation(operation: Operation): string {
  const kind = Object.keys(operation).join();
  return `${kind} ${Buffer.from(contentOf(operation), "latin1").toString("base64")}`;
}

export function putOperation(key: string, value: string): Operation {
  return { put: codecs.PutRequest.create({ key: utf8(key), value: utf8(value), lease: leaseId(0) }) };
}
