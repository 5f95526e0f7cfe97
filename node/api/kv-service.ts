// Keys and values. Checks come before anything is proposed; ranges of any length are read in slices, so that
// heartbeats leave on time meanwhile.

import type { Applied } from "../apply/outcome.ts";
import { isReadOnly, isSerializable, rangeResponse } from "../apply/txn.ts";
import type { RangeAnswer, RevisionFailure } from "../mvcc/range.ts";
import type { RangeStreamJob } from "../mvcc/range-stream.ts";
import {
  AlarmType,
  type CompactionRequest,
  type CompactionResponse,
  type DeleteRangeRequest,
  type OutgoingDeleteRangeResponse,
  type OutgoingPutResponse,
  type OutgoingRangeResponse,
  type OutgoingRangeStreamResponse,
  type OutgoingTxnResponse,
  type PutRequest,
  type RangeRequest,
  type ResponseHeader,
  type SharedRangeResponse,
  SortOrder,
  SortTarget,
  type TxnRequest,
} from "../wire/rpc.ts";
import type { AnswerMemory } from "./answer-memory.ts";
import type { Answer, Call } from "./call.ts";
import { ApiError, apiError } from "./errors.ts";
import { checkDeleteRange, checkPut, checkRange, checkTxn } from "./kv-checks.ts";
import { type LongRange, LongRanges } from "./long-ranges.ts";
import { type MemberApi, readSlice } from "./member-api.ts";
import { checkQuota, putBytes, txnBytes } from "./quota.ts";

type PutApplied = Extract<Applied, { readonly case: "put" }>;
type DeleteApplied = Extract<Applied, { readonly case: "deleteRange" }>;
type TxnApplied = Extract<Applied, { readonly case: "txn" }>;

/** Streamed bytes after which what they left behind is collected. */
const garbageBytesMax = 4 * 1024 * 1024;

/** A RangeStream holds compactions back, so a client that takes nothing of it for this long is cut off. */
const stallSeconds = 60;

export class KvService {
  readonly #api: MemberApi;
  readonly #longRanges: LongRanges;
  readonly #collectYoungGarbage: () => void;

  /** `collectYoungGarbage` frees what was allocated lately and is no longer used. */
  constructor(api: MemberApi, answers: AnswerMemory, collectYoungGarbage: () => void) {
    this.#api = api;
    this.#longRanges = new LongRanges(api, answers);
    this.#collectYoungGarbage = collectYoungGarbage;
  }

  range(
    request: RangeRequest,
    call: Call,
    answer: Answer<OutgoingRangeResponse | SharedRangeResponse>,
  ): void {
    checkRange(request);
    if (request.serializable) this.#range(request, call, answer);
    else this.#api.afterBarrier(answer, () => this.#range(request, call, answer));
  }

  async *rangeStream(request: RangeRequest, call: Call): AsyncGenerator<OutgoingRangeStreamResponse> {
    checkRange(request);
    if (request.sortOrder !== SortOrder.NONE || request.sortTarget !== SortTarget.KEY) {
      throw new ApiError("Unimplemented", "RangeStream does not support custom sort orders");
    }
    if (hasRevisionFilter(request)) {
      throw new ApiError("Unimplemented", "RangeStream does not support revision filters");
    }
    if (!request.serializable) await this.#api.readBarrier();
    this.#refuseIfCorrupt();
    const { store } = this.#api.replica;
    const started = store.startRangeStream(request, this.#api.options.requestBytesMax);
    if (!started.ok) throw revisionError(started);
    const { job } = started;
    const checkStore = this.#api.storeCheck();
    try {
      let garbageBytes = 0;
      while (!job.isDone && !call.isCancelled) {
        const chunk = await this.#nextChunk(job, checkStore);
        garbageBytes += chunkBytes(chunk);
        const timer = this.#api.options.clock.after(stallSeconds * 1000, () => call.abort(stalled()));
        try {
          yield chunk;
        } finally {
          timer.cancel();
        }
        // Chunks lie outside the heap, where V8 lets tens of megabytes pile up. Between two of them next to
        // nothing is alive, so collecting there costs a fraction of a millisecond and keeps memory flat.
        if (garbageBytes < garbageBytesMax) continue;
        garbageBytes = 0;
        this.#collectYoungGarbage();
      }
    } finally {
      job.close();
    }
  }

  put(request: PutRequest, _call: Call, answer: Answer<OutgoingPutResponse>): void {
    checkQuota(this.#api, putBytes(request));
    checkPut(request);
    this.#api.proposeFor({ put: request }, "put", answer, putResponse);
  }

  deleteRange(request: DeleteRangeRequest, _call: Call, answer: Answer<OutgoingDeleteRangeResponse>): void {
    checkDeleteRange(request);
    this.#api.proposeFor({ deleteRange: request }, "deleteRange", answer, deleteRangeResponse);
  }

  txn(request: TxnRequest, _call: Call, answer: Answer<OutgoingTxnResponse>): void {
    checkQuota(this.#api, txnBytes(request));
    checkTxn(request, this.#api.options.txnOpsMax);
    if (!isReadOnly(request)) this.#api.proposeFor({ txn: request }, "txn", answer, txnResponse);
    else if (isSerializable(request)) this.#readTxn(request, answer);
    else this.#api.afterBarrier(answer, () => this.#readTxn(request, answer));
  }

  async compact(request: CompactionRequest): Promise<CompactionResponse> {
    const { revision } = await this.#api.propose({ compaction: request }, "compaction");
    const header = this.#api.header(revision);
    if (request.physical) {
      const { replica } = this.#api;
      await new Promise<void>((done) => replica.store.compaction.whenFinished(request.revision, done));
      await new Promise<void>((done) => replica.flush(done));
    }
    return { header };
  }

  #readTxn(request: TxnRequest, answer: Answer<OutgoingTxnResponse>): void {
    const header = this.#api.header(this.#api.currentRevision);
    const outcome = this.#api.replica.applier.readTxn(request);
    if (!outcome.ok) throw apiError(outcome.refusal);
    const { succeeded, responses } = outcome.value;
    answer.succeed({ header, succeeded, responses });
  }

  #range(
    request: RangeRequest,
    call: Call,
    answer: Answer<OutgoingRangeResponse | SharedRangeResponse>,
  ): void {
    this.#refuseIfCorrupt();
    const startedMs = this.#api.options.clock.nowMs();
    const { store } = this.#api.replica;
    if (request.rangeEnd.length === 0) {
      const outcome = store.range(request);
      if (!outcome.ok) throw revisionError(outcome);
      this.#answerRange(outcome, startedMs, answer);
      return;
    }
    const started = store.startRange(request);
    if (!started.ok) throw revisionError(started);
    const { job } = started;
    const same = this.#longRanges.find(request, job.revision);
    if (same !== undefined) {
      job.close();
      this.#answerFrom(same, call, answer);
      return;
    }
    try {
      if (job.step(readSlice)) this.#answerRange(job.answer(), startedMs, answer);
    } catch (error) {
      job.close();
      throw error;
    }
    if (!job.isDone) this.#answerFrom(this.#longRanges.read(job, request), call, answer);
  }

  #answerRange(found: RangeAnswer, startedMs: number, answer: Answer<OutgoingRangeResponse>): void {
    this.#measureRange(startedMs);
    answer.succeed(rangeResponse(this.#api.header(found.revision), found));
  }

  #answerFrom(range: LongRange, call: Call, answer: Answer<SharedRangeResponse>): void {
    const startedMs = this.#api.options.clock.nowMs();
    const revision = this.#api.currentRevision;
    range.join(call, {
      succeed: (shared, leave) => {
        this.#measureRange(startedMs);
        answer.succeed({ header: this.#api.header(revision), shared }, leave);
      },
      fail: (error) => answer.fail(error),
    });
  }

  #measureRange(startedMs: number): void {
    const { clock, metrics } = this.#api.options;
    metrics.ranges.increment();
    metrics.rangeSeconds.observe((clock.nowMs() - startedMs) / 1000);
  }

  async #nextChunk(job: RangeStreamJob, checkStore: () => void): Promise<OutgoingRangeStreamResponse> {
    checkStore();
    let progress = job.step(readSlice);
    while (progress.kind === "working") {
      await this.#api.givingWay();
      checkStore();
      progress = job.step(readSlice);
    }
    const { kvs, end } = progress.chunk;
    if (end === undefined) {
      return { rangeResponse: { header: undefined, kvs, more: false, count: 0 } };
    }
    const { revision, count, more } = end;
    return { rangeResponse: { header: this.#api.header(revision), kvs, more, count } };
  }

  #refuseIfCorrupt(): void {
    if (this.#api.replica.applier.alarms.has(AlarmType.CORRUPT)) throw apiError("corrupt");
  }
}

function putResponse(header: ResponseHeader, { value }: PutApplied): OutgoingPutResponse {
  return { header, prevKv: value.prevKv };
}

function deleteRangeResponse(header: ResponseHeader, { value }: DeleteApplied): OutgoingDeleteRangeResponse {
  return { header, deleted: value.deleted, prevKvs: value.prevKvs };
}

function txnResponse(header: ResponseHeader, { value }: TxnApplied): OutgoingTxnResponse {
  return { header, succeeded: value.succeeded, responses: value.responses };
}

function stalled(): ApiError {
  return new ApiError("Aborted", `etcdserver: the client took nothing of the range for ${stallSeconds}s`);
}

function chunkBytes({ rangeResponse: part }: OutgoingRangeStreamResponse): number {
  if (part === undefined || part instanceof Uint8Array) return part?.length ?? 0;
  return part.kvs.reduce((bytes, kv) => bytes + (kv instanceof Uint8Array ? kv.length : 0), 0);
}

/** The answer to a request for a revision that cannot be read. */
export function revisionError({ reason }: RevisionFailure): ApiError {
  return apiError(reason === "compacted" ? "compacted" : "futureRevision");
}

function hasRevisionFilter(request: RangeRequest): boolean {
  return (
    request.minModRevision !== 0 ||
    request.maxModRevision !== 0 ||
    request.minCreateRevision !== 0 ||
    request.maxCreateRevision !== 0
  );
}
