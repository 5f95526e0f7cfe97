// Ranges that take more than one slice. Calls that want the same of the same revision, while it is read or on its
// way to somebody, are answered with it: however many clients list a prefix at once, it is read and held once. They
// seldom come at the very same moment, so the last answer, if it is not large, is kept a while longer.

import { equalBytes } from "../lib/bytes.ts";
import type { Timer } from "../lib/clock.ts";
import type { RangeJob } from "../mvcc/range.ts";
import type { RangeRequest } from "../wire/rpc.ts";
import { SharedRange } from "../wire/shared-range.ts";
import type { AnswerMemory, AnswerShare } from "./answer-memory.ts";
import type { Call } from "./call.ts";
import { apiError } from "./errors.ts";
import { type MemberApi, readSlice } from "./member-api.ts";

export interface LongRangeUser {
  /** `leave` is called when what was given is free, once or more. */
  succeed(range: SharedRange, leave: () => void): void;
  fail(error: unknown): void;
}

const keptMs = 1000;

interface Kept {
  readonly range: LongRange;
  readonly timer: Timer;
}

export class LongRanges {
  readonly #api: MemberApi;
  readonly #answers: AnswerMemory;
  /** Those that calls wait for or are answered with, so as many as there are calls at most. */
  readonly #live = new Set<LongRange>();
  #kept: Kept | undefined;

  constructor(api: MemberApi, answers: AnswerMemory) {
    this.#api = api;
    this.#answers = answers;
  }

  /** What is read, or on its way, for the same request at `revision`. */
  find(request: RangeRequest, revision: number): LongRange | undefined {
    for (const range of this.#live) if (range.isFor(request, revision)) return range;
    const range = this.#kept?.range;
    return range?.isFor(request, revision) === true ? range : undefined;
  }

  /** Goes on with a job whose first slice was done. Somebody has to join before anything else happens. */
  read(job: RangeJob, request: RangeRequest): LongRange {
    const range = new LongRange(this.#api, {
      job,
      request,
      openShare: () => this.#answers.open(),
      onUsed: () => this.#live.add(range),
      onUnused: () => {
        this.#live.delete(range);
        if (range.shared?.isKept === true) this.#keep(range);
      },
    });
    return range;
  }

  /** In place of the one before. */
  #keep(range: LongRange): void {
    this.#kept?.timer.cancel();
    const timer = this.#api.options.clock.after(keptMs, () => {
      this.#kept = undefined;
    });
    this.#kept = { range, timer };
  }
}

interface LongRangeParts {
  readonly job: RangeJob;
  readonly request: RangeRequest;
  readonly openShare: () => AnswerShare;
  /** Somebody waits for it or uses it, from here on. */
  readonly onUsed: () => void;
  /** Nobody does any more. */
  readonly onUnused: () => void;
}

interface Waiting extends LongRangeUser {
  readonly leave: () => void;
}

export class LongRange {
  readonly #api: MemberApi;
  readonly #parts: LongRangeParts;
  readonly #replacements: number;
  readonly #waiting = new Set<Waiting>();
  /** Those who wait, and those who were answered and did not leave yet. */
  #usersCount = 0;
  /** While there are users. */
  #share: AnswerShare | undefined;
  #shared: SharedRange | undefined;

  constructor(api: MemberApi, parts: LongRangeParts) {
    this.#api = api;
    this.#parts = parts;
    this.#replacements = api.replica.store.replacements;
    this.#read().then(
      () => this.#succeed(),
      (error) => this.#fail(error),
    );
  }

  /** Whether a request that reads at `revision` is answered with this. */
  isFor(request: RangeRequest, revision: number): boolean {
    const { job, request: own } = this.#parts;
    const isSameStore = this.#api.replica.store.replacements === this.#replacements;
    return isSameStore && job.revision === revision && isSameRange(own, request);
  }

  /** True once nobody waits for it, or uses it, any more. */
  get isCancelled(): boolean {
    return this.#usersCount === 0;
  }

  /** What was read, undefined before everything was. */
  get shared(): SharedRange | undefined {
    return this.#shared;
  }

  /** Answers the user, at once if everything was read. A call that is cancelled leaves. */
  join(call: Call, user: LongRangeUser): void {
    if (this.#usersCount === 0 && !this.#begin()) {
      user.fail(apiError("tooManyRequests"));
      return;
    }
    this.#usersCount++;
    let isHere = true;
    const leave = (): void => {
      if (!isHere) return;
      isHere = false;
      this.#waiting.delete(waiting);
      if (--this.#usersCount === 0) this.#end();
    };
    const waiting = { ...user, leave };
    if (this.#shared !== undefined) {
      user.succeed(this.#shared, leave);
      return;
    }
    this.#waiting.add(waiting);
    call.onCancel(leave);
  }

  /** The slices after the first, as long as there is room for what they read and somebody waits for it. */
  async #read(): Promise<void> {
    const { job } = this.#parts;
    const step = (): boolean => {
      const isDone = job.step(readSlice);
      if (this.#share?.hold(job.heldBytes) !== true) throw apiError("tooManyRequests");
      return isDone;
    };
    await this.#api.givingWay();
    if (this.isCancelled) throw apiError("canceled");
    await this.#api.inSlices(step, this);
  }

  #succeed(): void {
    const { kvs, more, count } = this.#parts.job.answer();
    const shared = new SharedRange(kvs, more, count);
    this.#shared = shared;
    for (const user of this.#waiting) user.succeed(shared, user.leave);
    this.#waiting.clear();
  }

  #fail(error: unknown): void {
    for (const user of this.#waiting) {
      user.leave();
      user.fail(error);
    }
  }

  /** False where there is no room for it. */
  #begin(): boolean {
    const share = this.#parts.openShare();
    if (!share.hold(this.#parts.job.heldBytes)) {
      share.release();
      this.#parts.job.close();
      return false;
    }
    this.#share = share;
    this.#parts.onUsed();
    return true;
  }

  #end(): void {
    this.#parts.job.close();
    this.#share?.release();
    this.#share = undefined;
    this.#parts.onUnused();
  }
}

/** Whether equal revisions give equal answers. */
function isSameRange(a: RangeRequest, b: RangeRequest): boolean {
  return (
    equalBytes(a.key, b.key) &&
    equalBytes(a.rangeEnd, b.rangeEnd) &&
    a.limit === b.limit &&
    a.sortOrder === b.sortOrder &&
    a.sortTarget === b.sortTarget &&
    a.keysOnly === b.keysOnly &&
    a.countOnly === b.countOnly &&
    a.minModRevision === b.minModRevision &&
    a.maxModRevision === b.maxModRevision &&
    a.minCreateRevision === b.minCreateRevision &&
    a.maxCreateRevision === b.maxCreateRevision
  );
}
