// Calls that come from within this process instead of over a connection. They pass the checks of all others and are
// counted among them.

import type { Call } from "../api/call.ts";
import { ApiError, apiError, type ErrorCode } from "../api/errors.ts";
import type { LocalAnswer, LocalCall, LocalCalls, LocalStream } from "../api/local-calls.ts";
import { onePiece, type Pieces } from "../wire/codec.ts";
import { CancelListeners, deadlineExceeded, decodedBy, secondsSince } from "./call.ts";
import type { Mortal } from "./deadlines.ts";
import type { Target } from "./head.ts";
import type { DirectRoute } from "./routes.ts";
import { messageTooLarge, unknownMethod } from "./status.ts";
import type { StreamHost } from "./stream-call.ts";

/** What etcd's gateway takes from its gRPC server. */
const answerBytesMax = 2 ** 31 - 1;

export class LocalCaller implements LocalCalls {
  readonly #host: StreamHost;
  readonly #targets: ReadonlyMap<string, Target>;

  constructor(host: StreamHost, targets: ReadonlyMap<string, Target>) {
    this.#host = host;
    this.#targets = targets;
  }

  async unary(call: LocalCall, request: Uint8Array): Promise<LocalAnswer> {
    const run = new Run(this.#host, this.#targetOf(call), call);
    try {
      const message = run.decode(request);
      this.#host.admit(call, "unary");
      if (run.deadlineMs <= performance.now()) throw deadlineExceeded();
      const work = answerOf(run, message);
      // The call may be cut off while its answer is on the way.
      run.onCancel(() => work.then((answer) => answer.release(), nothing));
      const answer = await run.wait(work);
      run.answered(answer.pieces.size);
      return answer;
    } catch (error) {
      throw run.fail(error);
    }
  }

  stream(call: LocalCall, requests: AsyncIterable<Uint8Array>): LocalStream {
    return new StreamRun(this.#host, new Run(this.#host, this.#targetOf(call), call), call, requests);
  }

  #targetOf({ path }: LocalCall): Target {
    const target = this.#targets.get(path);
    if (target === undefined) throw unknownMethod(path);
    return target;
  }
}

/** Runs the handler of a unary call. */
async function answerOf(run: Run, message: unknown): Promise<LocalAnswer> {
  const { route } = run.target;
  if (route.kind === "unary") {
    const response = await route.handler(message, run);
    return { pieces: onePiece(route.encode(response)), release: nothing };
  }
  if (route.kind !== "direct") throw unknownMethod(route.path);
  return new Promise((resolve, reject) => {
    route.handler(message, run, {
      succeed(response, release = nothing) {
        try {
          if (run.isEnded) release();
          else resolve({ pieces: piecesOf(route, response), release });
        } catch (error) {
          release();
          reject(error);
        }
      },
      fail: reject,
    });
  });
}

/** Throws ApiError. */
function piecesOf(route: DirectRoute, response: unknown): Pieces {
  const pieces = route.encodePieces(response) ?? onePiece(route.encode(response));
  if (pieces.size > answerBytesMax) throw messageTooLarge(pieces.size, answerBytesMax);
  return pieces;
}

/** One call, as its handler and the server see it. */
class Run implements Call, Mortal {
  readonly target: Target;
  readonly deadlineMs: number;
  isCancelled = false;
  isEnded = false;
  readonly #host: StreamHost;
  readonly #call: LocalCall;
  readonly #startMs = performance.now();
  readonly #listeners = new CancelListeners();
  readonly #onSignal = (): void => this.abort(new ApiError("Canceled", "context canceled"));
  /** Why the call was cut off. */
  #reason: ApiError | undefined;
  #interrupt: (error: ApiError) => void = nothing;

  constructor(host: StreamHost, target: Target, call: LocalCall) {
    this.#host = host;
    this.target = target;
    this.#call = call;
    this.deadlineMs =
      call.timeoutMs === undefined ? Number.POSITIVE_INFINITY : this.#startMs + call.timeoutMs;
    target.metrics.started();
    if (call.timeoutMs !== undefined) host.deadlines.add(this);
    if (call.signal.aborted) this.#onSignal();
    else call.signal.addEventListener("abort", this.#onSignal);
  }

  get metadata(): ReadonlyMap<string, string> {
    return this.#call.metadata;
  }

  onCancel(fn: () => void): void {
    if (this.isCancelled) fn();
    else if (!this.isEnded) this.#listeners.add(fn);
  }

  abort(error: ApiError): void {
    if (this.isEnded || this.isCancelled) return;
    this.isCancelled = true;
    this.#reason = error;
    this.#listeners.notify();
    this.#interrupt(error);
    this.end(error.code);
  }

  onDeadline(): void {
    this.abort(deadlineExceeded());
  }

  /** Throws ApiError. */
  decode(request: Uint8Array): unknown {
    const { messageBytesMax } = this.#host;
    if (request.length > messageBytesMax) throw messageTooLarge(request.length, messageBytesMax);
    this.target.metrics.received(request.length);
    return decodedBy(this.target.route, request);
  }

  /** What the handler does, unless the call is cut off first. */
  wait<T>(work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#reason !== undefined) reject(this.#reason);
      this.#interrupt = reject;
      work.then(resolve, reject);
    });
  }

  answered(responseBytes: number): void {
    this.target.metrics.sent(responseBytes);
    this.end("OK");
    this.#host.onAnswered(this.target, this.#call, performance.now() - this.#startMs, responseBytes);
  }

  fail(error: unknown): ApiError {
    const known = this.#host.asApiError(error);
    this.end(known.code);
    return known;
  }

  end(code: ErrorCode): void {
    if (this.isEnded) return;
    this.isEnded = true;
    this.#listeners.clear();
    this.#host.deadlines.delete(this);
    this.#call.signal.removeEventListener("abort", this.#onSignal);
    this.target.metrics.handled(code, secondsSince(this.#startMs));
  }
}

class StreamRun implements LocalStream {
  readonly #host: StreamHost;
  readonly #run: Run;
  readonly #call: LocalCall;
  readonly #requests: AsyncIterable<Uint8Array>;
  #responses: AsyncIterator<unknown> | undefined;
  #stopWatchingLeader: () => void = nothing;

  constructor(host: StreamHost, run: Run, call: LocalCall, requests: AsyncIterable<Uint8Array>) {
    this.#host = host;
    this.#run = run;
    this.#call = call;
    this.#requests = requests;
  }

  async next(): Promise<Uint8Array | undefined> {
    const run = this.#run;
    try {
      this.#responses ??= await run.wait(this.#begin());
      const next = await run.wait(this.#responses.next());
      if (next.done !== true) {
        const bytes = run.target.route.encode(next.value);
        run.target.metrics.sent(bytes.length);
        return bytes;
      }
      run.end("OK");
      this.#close();
      return undefined;
    } catch (error) {
      const known = run.fail(error);
      this.#close();
      throw known;
    }
  }

  async #begin(): Promise<AsyncIterator<unknown>> {
    const run = this.#run;
    const { route } = run.target;
    this.#host.openStreams.add(run);
    run.onCancel(() => this.#close());
    if (this.#host.admit(this.#call, "stream")) {
      this.#stopWatchingLeader = this.#host.onLeaderLost(() => run.abort(apiError("noLeader")));
    }
    const responses = this.#open(route.kind === "bidi" ? undefined : await this.#only());
    const iterator = responses[Symbol.asyncIterator]();
    run.onCancel(() => void iterator.return?.().catch(nothing));
    return iterator;
  }

  #open(request: unknown): AsyncIterable<unknown> {
    const { route } = this.#run.target;
    if (route.kind === "bidi") return route.handler(this.#decoded(), this.#run);
    if (route.kind === "serverStream") return route.handler(request, this.#run);
    throw unknownMethod(route.path);
  }

  /** The one request of a server stream. */
  async #only(): Promise<unknown> {
    for await (const request of this.#decoded()) return request;
    throw new ApiError("Internal", "a server stream without a request");
  }

  async *#decoded(): AsyncIterable<unknown> {
    for await (const request of this.#requests) yield this.#run.decode(request);
  }

  #close(): void {
    this.#stopWatchingLeader();
    this.#host.openStreams.delete(this.#run);
  }
}

function nothing(): void {}
