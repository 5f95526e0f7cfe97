// RangeStream: a range handed out in chunks, with one chunk in memory at a time.

import { assert } from "../lib/assert.ts";
import { withoutValue } from "../wire/hot-kv.ts";
import { endOf, passes, type RangeRequest, type RangeView, type SliceLimits } from "./range.ts";
import { recordAt } from "./records.ts";
import type { Revision } from "./revision.ts";
import { VersionWalk } from "./version-walk.ts";

const firstChunkKeys = 10;

/** All chunks together hold what the whole answer would. */
export interface RangeChunk {
  readonly kvs: readonly Uint8Array[];
  /** On the last chunk only. */
  readonly end: { readonly revision: Revision; readonly count: number; readonly more: boolean } | undefined;
}

export type StreamProgress =
  /** The slice is spent; step again. */
  { readonly kind: "working" } | { readonly kind: "chunk"; readonly chunk: RangeChunk };

/** Key order only: the API refuses sorts and filters before. */
export class RangeStreamJob {
  readonly #view: RangeView;
  readonly #request: RangeRequest;
  readonly #chunkBytes: number;
  readonly #walk: VersionWalk;
  readonly #limit: number;
  #chunkKeys = firstChunkKeys;
  #kvs: Uint8Array[] = [];
  #kvsBytes = 0;
  #sent = 0;
  #count = 0;
  #isDone = false;

  /** `chunkBytes` is what chunks grow towards; one record may be larger than that. */
  constructor(view: RangeView, request: RangeRequest, chunkBytes: number) {
    this.#view = view;
    this.#request = request;
    this.#chunkBytes = chunkBytes;
    this.#limit = request.countOnly ? 0 : request.limit > 0 ? request.limit : Number.POSITIVE_INFINITY;
    this.#walk = new VersionWalk(view.reader, {
      start: request.key,
      end: endOf(request.key, request.rangeEnd),
      revision: view.revision,
    });
  }

  /** True once the last chunk was handed out. */
  get isDone(): boolean {
    return this.#isDone;
  }

  /** Works until a chunk is full or the slice is spent. Writes may happen between slices. */
  step({ recordsMax, bytesMax }: SliceLimits): StreamProgress {
    assert(!this.#isDone, "a finished stream takes no steps");
    const walk = this.#walk;
    walk.allow(recordsMax);
    let bytesLeft = bytesMax;
    while (bytesLeft > 0 && !this.#isChunkFull() && walk.next()) {
      this.#count++;
      if (this.#sent + this.#kvs.length >= this.#limit) continue;
      bytesLeft -= this.#collect(walk);
    }
    if (walk.isDone) return { kind: "chunk", chunk: this.#lastChunk() };
    walk.pause();
    return this.#isChunkFull() ? { kind: "chunk", chunk: this.#nextChunk() } : { kind: "working" };
  }

  /** Gives the revision free: whoever drops a stream half-way calls it. */
  close(): void {
    this.#walk.finish();
    this.#view.release?.();
  }

  #collect(walk: VersionWalk): number {
    const version = walk.version;
    assert(passes(this.#request, version), "a stream has no filters");
    const record = recordAt(this.#view.reader, version);
    const kv = this.#request.keysOnly ? withoutValue(record) : record;
    this.#kvs.push(kv);
    this.#kvsBytes += kv.length;
    return record.length;
  }

  #isChunkFull(): boolean {
    if (this.#kvs.length === 0) return false;
    return (
      this.#kvs.length >= this.#chunkKeys ||
      this.#kvsBytes >= this.#chunkBytes ||
      // What is left is only counted, which may take a while.
      this.#sent + this.#kvs.length >= this.#limit
    );
  }

  #nextChunk(): RangeChunk {
    if (this.#kvsBytes * 2 <= this.#chunkBytes) this.#chunkKeys *= 2;
    else if (this.#kvsBytes > this.#chunkBytes) this.#chunkKeys = Math.max(1, this.#chunkKeys >>> 1);
    return { kvs: this.#takeKvs(), end: undefined };
  }

  #lastChunk(): RangeChunk {
    this.#isDone = true;
    this.close();
    const kvs = this.#takeKvs();
    const more = !this.#request.countOnly && this.#count > this.#limit;
    return { kvs, end: { revision: this.#view.currentRevision, count: this.#count, more } };
  }

  #takeKvs(): readonly Uint8Array[] {
    const kvs = this.#kvs;
    this.#sent += kvs.length;
    this.#kvs = [];
    this.#kvsBytes = 0;
    return kvs;
  }
}
