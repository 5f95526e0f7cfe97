// A store in memory whose records carry the checksums of a real one, so that a bit that flips at rest is met as in a
// real member: the record is never returned, the member is told and ends.

import type { Bucket, Cursor, Engine, EngineOperation, KeyRange } from "../../../node/lib/backend.ts";
import { emptyBytes } from "../../../node/lib/bytes.ts";
import { FatalError } from "../../../node/lib/fatal.ts";
import type { Random } from "../../../node/lib/random.ts";
import type { SortedMap } from "../../../node/lib/sorted-map.ts";
import { faultOf, seal, seedOf, trailerBytes } from "../../../node/storage/lmdb/envelope.ts";
import type { MemoryImage } from "../../../node/storage/memory/engine.ts";
import { EngineWrapper } from "../defects.ts";

export interface SealedEngineOptions {
  /** Told of damage before it is thrown. */
  readonly onDamaged: (error: FatalError) => void;
  /** A defect: damage is returned as if it were data. */
  readonly isBlind: boolean;
}

export class SealedEngine extends EngineWrapper {
  readonly #options: SealedEngineOptions;

  constructor(inner: Engine, options: SealedEngineOptions) {
    super(inner);
    this.#options = options;
  }

  override get(bucket: Bucket, key: Uint8Array): Uint8Array | undefined {
    const sealed = this.inner.get(bucket, key);
    return sealed === undefined ? undefined : this.#open(bucket, key, sealed);
  }

  override cursor(bucket: Bucket, range: KeyRange): Cursor {
    return new OpeningCursor(this.inner.cursor(bucket, range), (key, sealed) =>
      this.#open(bucket, key, sealed),
    );
  }

  override flush(operations: Iterable<EngineOperation>, done: () => void): void {
    this.inner.flush([...operations].map(sealedOperation), done);
  }

  #open(bucket: Bucket, key: Uint8Array, sealed: Uint8Array): Uint8Array {
    const fault = this.#options.isBlind ? undefined : faultOf(key, sealed, sealed.length, seedOf(bucket));
    if (fault === undefined) return sealed.subarray(0, sealed.length - trailerBytes);
    const text = `bucket ${bucket}, key ${Buffer.from(key).toString("hex")}: ${fault}`;
    const error = new FatalError("STORE_DAMAGED", text);
    this.#options.onDamaged(error);
    throw error;
  }
}

class OpeningCursor implements Cursor {
  readonly #inner: Cursor;
  readonly #open: (key: Uint8Array, sealed: Uint8Array) => Uint8Array;
  #value: Uint8Array = emptyBytes;

  constructor(inner: Cursor, open: (key: Uint8Array, sealed: Uint8Array) => Uint8Array) {
    this.#inner = inner;
    this.#open = open;
  }

  next(): boolean {
    if (!this.#inner.next()) return false;
    this.#value = this.#open(this.#inner.key, this.#inner.value);
    return true;
  }

  get key(): Uint8Array {
    return this.#inner.key;
  }

  get value(): Uint8Array {
    return this.#value;
  }

  close(): void {
    this.#inner.close();
  }
}

function sealedOperation(operation: EngineOperation): EngineOperation {
  const { bucket, key, value } = operation;
  if (value === undefined) return operation;
  const bytes = new Uint8Array(key.length + value.length + trailerBytes);
  bytes.set(key);
  bytes.set(value, key.length);
  seal(bytes, 0, key.length + value.length, seedOf(bucket));
  return { bucket, key, value: bytes.subarray(key.length) };
}

/** The same store with one bit of one record changed; undefined where there is none. */
export function withFlippedBit(image: MemoryImage, random: Random): MemoryImage | undefined {
  const filled = [...image.records].filter(([, map]) => map.size > 0);
  const chosen = filled[random.below(Math.max(1, filled.length))];
  if (chosen === undefined) return undefined;
  const [bucket, map] = chosen;
  const changed = map.snapshot();
  flipIn(changed, random);
  return { ...image, records: new Map([...image.records, [bucket, changed]]) };
}

function flipIn(map: SortedMap<Uint8Array>, random: Random): void {
  const cursor = map.cursor({ start: "", end: undefined, reverse: false });
  for (let left = random.below(map.size); left >= 0; left--) cursor.next();
  const { sortKey } = cursor;
  const value = cursor.value.slice();
  const at = random.below(value.length);
  value[at] = (value[at] as number) ^ (1 << random.below(8));
  map.set(sortKey, value);
}
