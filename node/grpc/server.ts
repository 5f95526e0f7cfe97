// gRPC on an HTTP/2 server of our own: routes in, connections in, statuses out. Knows HTTP/2, metadata and status
// numbers so that handlers need not. Tested over real sockets, by h2spec and with clients in three languages.

import type { Socket } from "node:net";
import { ApiError, apiError } from "../api/errors.ts";
import type { LocalCalls } from "../api/local-calls.ts";
import type { Logger } from "../lib/log.ts";
import { trailersOnly } from "./answers.ts";
import { Deadlines } from "./deadlines.ts";
import { type GrpcHead, type Head, readHead, type Target } from "./head.ts";
import { HttpExchange, type ServeHttp } from "./http-bridge.ts";
import { Connection } from "./http2/connection.ts";
import type { ConnectionHost } from "./http2/connection-host.ts";
import { FlushQueue } from "./http2/flush-queue.ts";
import type { RequestHead } from "./http2/request-head.ts";
import { LocalCaller } from "./local-calls.ts";
import { isWholeMessage, messageIn } from "./message-queue.ts";
import type { GrpcMetrics } from "./metrics.ts";
import type { Route } from "./routes.ts";
import { type OpenStream, StreamCall, type StreamHost } from "./stream-call.ts";
import { UnaryCall } from "./unary-call.ts";

/** What calls that ask for a leader (`hasleader: true`) depend on. */
export interface LeaderWatch {
  hasLeader(): boolean;
  /** Runs `fn` once when there was no leader for three election timeouts. Returns how to stop waiting. */
  onLeaderLost(fn: () => void): () => void;
}

export interface GrpcServerOptions {
  readonly routes: readonly Route[];
  readonly leader: LeaderWatch;
  readonly metrics: GrpcMetrics;
  readonly log: Logger;
  /** Serves what is not gRPC. */
  readonly http: ServeHttp;
  /** An error that is no ApiError: a bug or a fatal end. Does not return in a real member. */
  readonly onUnexpected: (error: unknown) => void;
  readonly maxRequestBytes: number;
  readonly maxConcurrentStreams: number;
  /** Zero: connections are not pinged. */
  readonly keepaliveIntervalMs: number;
  readonly keepaliveTimeoutMs: number;
  /** A client that pings more often is turned away. */
  readonly keepaliveMinTimeMs: number;
  /** A unary call that takes longer is logged. */
  readonly warningUnaryRequestDurationMs: number;
}

/** etcd's allowance above --max-request-bytes for what surrounds a request. */
const requestOverheadBytes = 512 * 1024;
/** Streams of one connection, whatever the flag allows: each costs memory. */
const streamsMax = 100_000;
const sweepMs = 1000;

export class GrpcServer implements ConnectionHost, StreamHost {
  readonly messageBytesMax: number;
  readonly deadlines = new Deadlines();
  readonly openStreams = new Set<OpenStream>();
  readonly #options: GrpcServerOptions;
  readonly #targets: ReadonlyMap<string, Target>;
  readonly #connections = new Set<Connection>();
  readonly #flushQueue = new FlushQueue();
  /** For what serves clients in other words. */
  readonly local: LocalCalls;
  #sweeper: NodeJS.Timeout | undefined;
  #isStopping = false;
  #onAllClosed = (): void => {};

  constructor(options: GrpcServerOptions) {
    this.#options = options;
    this.messageBytesMax = options.maxRequestBytes + requestOverheadBytes;
    this.#targets = new Map(
      options.routes.map((route) => {
        const metrics = options.metrics.method(route.path);
        return [route.path, { kind: "target", route, metrics }];
      }),
    );
    this.local = new LocalCaller(this, this.#targets);
  }

  /** Serves a connection whose client speaks HTTP/2. What was read from it already must be put back. */
  serve(socket: Socket): void {
    const connection = new Connection(socket, {
      host: this,
      flushQueue: this.#flushQueue,
      streamsMax: Math.min(this.#options.maxConcurrentStreams, streamsMax),
      keepalive: {
        intervalMs: this.#options.keepaliveIntervalMs,
        timeoutMs: this.#options.keepaliveTimeoutMs,
        minIntervalMs: this.#options.keepaliveMinTimeMs,
      },
      nowMs: () => performance.now(),
    });
    this.#connections.add(connection);
    this.#sweeper ??= setInterval(() => this.#sweep(), sweepMs);
    if (this.#isStopping) connection.drain();
  }

  /** Ends streams, lets unary calls finish until the deadline, then closes every connection. */
  async stop(graceMs: number): Promise<void> {
    this.#isStopping = true;
    for (const call of [...this.openStreams]) call.abort(apiError("stopped"));
    for (const connection of [...this.#connections]) connection.drain();
    if (this.#connections.size === 0) return;
    const force = setTimeout(() => {
      for (const connection of this.#connections) connection.destroy();
    }, graceMs);
    await new Promise<void>((resolve) => {
      this.#onAllClosed = resolve;
    });
    clearTimeout(force);
  }

  // Hot: a unary call in one piece.
  onWhole(
    connection: Connection,
    streamId: number,
    request: RequestHead,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): void {
    const head = this.#headOf(request);
    if (
      head.kind === "grpc" &&
      head.target.kind === "target" &&
      isUnary(head.target.route) &&
      isWholeMessage(bytes, start, end)
    ) {
      const call = new UnaryCall(this, connection, streamId, head, head.target);
      call.run(messageIn(bytes, start, end));
      return;
    }
    const owner = this.#open(connection, streamId, request, head, false);
    if (owner === undefined) return;
    if (end > start) owner.onData(bytes, start, end, true);
    connection.endOfBody(streamId, owner);
  }

  onRequest(connection: Connection, streamId: number, request: RequestHead, isRemoteOpen: boolean): void {
    const owner = this.#open(connection, streamId, request, this.#headOf(request), isRemoteOpen);
    if (!isRemoteOpen) owner?.onEnd();
  }

  onClosed(connection: Connection): void {
    this.#connections.delete(connection);
    if (this.#connections.size > 0) return;
    clearInterval(this.#sweeper);
    this.#sweeper = undefined;
    this.#onAllClosed();
  }

  admit(head: Pick<GrpcHead, "metadata">, type: "unary" | "stream"): boolean {
    if (this.#isStopping) throw apiError("stopped");
    this.#options.metrics.clientRequest(type, head.metadata.get("client-api-version") ?? "unknown");
    if (head.metadata.get("hasleader") !== "true") return false;
    if (!this.#options.leader.hasLeader()) throw apiError("noLeader");
    return true;
  }

  onLeaderLost(fn: () => void): () => void {
    return this.#options.leader.onLeaderLost(fn);
  }

  asApiError(error: unknown): ApiError {
    if (error instanceof ApiError) return error;
    this.#options.onUnexpected(error);
    return new ApiError("Unknown", error instanceof Error ? error.message : String(error));
  }

  onAnswered(
    { route }: Target,
    client: { readonly peer: string },
    tookMs: number,
    responseBytes: number,
  ): void {
    if (tookMs <= this.#options.warningUnaryRequestDurationMs) return;
    this.#options.log.warn("request stats", {
      "time spent": `${tookMs.toFixed(3)}ms`,
      remote: client.peer,
      "response type": route.path,
      "response size": responseBytes,
    });
  }

  #headOf(request: RequestHead): Head {
    const known = request.extension as Head | undefined;
    if (known !== undefined) return known;
    const head = readHead(request, this.#targets);
    request.extension = head;
    return head;
  }

  /** Begins a call whose body is not here as a whole. Nothing is returned where the answer was given already. */
  #open(
    connection: Connection,
    streamId: number,
    request: RequestHead,
    head: Head,
    isRemoteOpen: boolean,
  ): UnaryCall | StreamCall | HttpExchange | undefined {
    if (head.kind === "http" && request.isTooLarge) {
      connection.answerFields(streamId, [":status", "431"], isRemoteOpen);
      return undefined;
    }
    if (head.kind === "http") {
      return new HttpExchange(
        connection,
        { streamId, head: request, isRemoteOpen },
        { serve: this.#options.http, onUnexpected: this.#options.onUnexpected },
      );
    }
    const { target } = head;
    if (target.kind === "refusal") {
      const fields = trailersOnly(target.error, head.contentType, target.httpStatus);
      connection.answerFields(streamId, fields, isRemoteOpen);
      return undefined;
    }
    const bodyBytes = request.contentLength;
    if (isUnary(target.route)) {
      const call = new UnaryCall(this, connection, streamId, head, target);
      call.wait(isRemoteOpen, bodyBytes);
      return call;
    }
    const call = new StreamCall(this, connection, { streamId, isRemoteOpen, bodyBytes }, head, target);
    call.start();
    return call;
  }

  #sweep(): void {
    const nowMs = performance.now();
    for (const connection of [...this.#connections]) connection.sweep(nowMs);
  }
}

function isUnary({ kind }: Route): boolean {
  return kind === "direct" || kind === "unary";
}
