// Wrong parts of a member, each with one defect: what mutants put between a replica and its ports.

import type {
  Bucket,
  Cursor,
  DefragmentOutcome,
  Engine,
  EngineOperation,
  EngineSize,
  KeyRange,
  StoreGeneration,
} from "../../node/lib/backend.ts";
import { textOf } from "../../node/lib/bytes.ts";
import type { Clock } from "../../node/lib/clock.ts";
import type { LogAppend, LogSnapshot, LogStore } from "../../node/replica/log-store.ts";
import type { DiskFile } from "../../node/storage/disk.ts";
import type { HardState } from "../../node/wire/raft.ts";
import { SimDisk } from "./disk.ts";

export class LogWrapper implements LogStore {
  readonly inner: LogStore;

  constructor(inner: LogStore) {
    this.inner = inner;
  }

  append(append: LogAppend, done?: () => void): void {
    this.inner.append(append, done);
  }

  saveSnapshot(snapshot: LogSnapshot, releaseIndex: number, done: () => void): void {
    this.inner.saveSnapshot(snapshot, releaseIndex, done);
  }

  installSnapshot(snapshot: LogSnapshot, hardState: HardState, done: () => void): void {
    this.inner.installSnapshot(snapshot, hardState, done);
  }

  close(done: () => void): void {
    this.inner.close(done);
  }
}

export class EngineWrapper implements Engine {
  readonly inner: Engine;

  constructor(inner: Engine) {
    this.inner = inner;
  }

  get(bucket: Bucket, key: Uint8Array): Uint8Array | undefined {
    return this.inner.get(bucket, key);
  }

  install(generation: StoreGeneration): void {
    this.inner.install(generation);
  }

  cursor(bucket: Bucket, range: KeyRange): Cursor {
    return this.inner.cursor(bucket, range);
  }

  flush(operations: Iterable<EngineOperation>, done: () => void): void {
    this.inner.flush(operations, done);
  }

  size(): EngineSize {
    return this.inner.size();
  }

  defragment(done: (outcome: DefragmentOutcome) => void): void {
    this.inner.defragment(done);
  }

  close(done: () => void): void {
    this.inner.close(done);
  }
}

/** Says that an append is durable before it is. */
export class HastyLog extends LogWrapper {
  readonly #clock: Clock;

  constructor(inner: LogStore, clock: Clock) {
    super(inner);
    this.#clock = clock;
  }

  override append(append: LogAppend, done?: () => void): void {
    this.inner.append(append, done === undefined ? undefined : () => {});
    if (done !== undefined) this.#clock.defer(done);
  }
}

/** Says that a commit is durable without asking for it. */
export class CarelessCommitLog extends LogWrapper {
  readonly #clock: Clock;

  constructor(inner: LogStore, clock: Clock) {
    super(inner);
    this.#clock = clock;
  }

  override append(append: LogAppend, done?: () => void): void {
    const isHasty = append.entries.length === 0 && done !== undefined;
    this.inner.append(append, isHasty ? undefined : done);
    if (isHasty) this.#clock.defer(done);
  }
}

/** Writes the position in the log before the records that belong to it. */
export class TwoFlushEngine extends EngineWrapper {
  override flush(operations: Iterable<EngineOperation>, done: () => void): void {
    const all = [...operations];
    const isPosition = ({ bucket, key }: EngineOperation): boolean =>
      bucket === "meta" && (textOf(key) === "consistent_index" || textOf(key) === "term");
    this.inner.flush(all.filter(isPosition), () => {
      const rest = all.filter((operation) => !isPosition(operation));
      this.inner.flush(rest, done);
    });
  }
}

/** Removes the tombstones at the compacted revision, too. */
export class EagerCompactionEngine extends EngineWrapper {
  override flush(operations: Iterable<EngineOperation>, done: () => void): void {
    const all = [...operations];
    const finished = all.find(({ key }) => textOf(key) === "finishedCompactRev")?.value;
    const written = finished === undefined ? [] : this.#tombstonesAt(finished);
    const isKept = ({ bucket, key }: EngineOperation): boolean =>
      bucket !== "key" || !written.some((tombstone) => hex(tombstone) === hex(key));
    const removals = written.map((key) => ({ bucket: "key", key, value: undefined }) as const);
    const merged = [...all.filter(isKept), ...removals].sort(byBucketAndKey);
    this.inner.flush(merged, done);
  }

  #tombstonesAt(revision: Uint8Array): Uint8Array[] {
    const keys: Uint8Array[] = [];
    const cursor = this.inner.cursor("key", { start: revision.subarray(0, 8) });
    while (cursor.next()) {
      if (hex(cursor.key.subarray(0, 8)) !== hex(revision.subarray(0, 8))) break;
      if (cursor.key.length === 18) keys.push(cursor.key);
    }
    cursor.close();
    return keys;
  }
}

function byBucketAndKey(a: EngineOperation, b: EngineOperation): number {
  if (a.bucket !== b.bucket) return a.bucket < b.bucket ? -1 : 1;
  return hex(a.key) < hex(b.key) ? -1 : 1;
}

/** Bytes become durable by chance only. */
export class NoSyncDisk extends SimDisk {
  override fdatasync(_file: DiskFile): void {}
}

/** Names become durable by chance only. */
export class NoDirectorySyncDisk extends SimDisk {
  override fsyncDir(_path: string): void {}
}

/** Takes a failed sync for a good one. */
export class ForgivingDisk extends SimDisk {
  override fdatasync(file: DiskFile): void {
    try {
      super.fdatasync(file);
    } catch (error) {
      if (!(error instanceof Error && "code" in error)) throw error;
    }
  }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("hex");
}
