// gRPC on grpc-js: routes in, connections in, statuses out. Knows HTTP/2, metadata and status numbers so that
// handlers need not. Replaceable behind the same seam by a server of our own; tested over real sockets.

import type { Socket } from "node:net";
import type { Duplex, Writable } from "node:stream";
import {
  type Metadata,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
} from "@grpc/grpc-js";
import { ApiError, apiError, type ErrorCode } from "../api/errors.ts";
import { assert } from "../lib/assert.ts";
import type { Logger } from "../lib/log.ts";
import { GrpcCall } from "./call.ts";
import { frameInPlace } from "./frames.ts";
import type { GrpcMetrics, MethodMetrics } from "./metrics.ts";
import type { BidiRoute, Route, ServerStreamRoute, UnaryRoute } from "./routes.ts";
import { malformedMessage, messageTooLarge, statusOf, unknownMethod } from "./status.ts";
import { RequestReader, ResponseWriter } from "./streams.ts";

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
  /** An error that is no ApiError: a bug or a fatal end. Does not return in a real member. */
  readonly onUnexpected: (error: unknown) => void;
  readonly maxRequestBytes: number;
  readonly maxConcurrentStreams: number;
  /** Zero: connections are not pinged. */
  readonly keepaliveIntervalMs: number;
  readonly keepaliveTimeoutMs: number;
  /** A unary call that takes longer is logged. */
  readonly warningUnaryRequestDurationMs: number;
}

/** etcd's allowance above --max-request-bytes for what surrounds a request. */
const requestOverheadBytes = 512 * 1024;

/**
 * Messages above the limit are read up to this size all the same, to be answered in Go's words;
 * grpc-js cuts off larger ones in words of its own.
 */
const hardLimitBytesMin = 16 * 1024 * 1024;

/** A message that cannot go to a handler, and the answer it gets. */
class BadMessage {
  readonly error: ApiError;

  constructor(error: ApiError) {
    this.error = error;
  }
}

export class GrpcServer {
  readonly #options: GrpcServerOptions;
  readonly #server: Server;
  readonly #injector: ReturnType<Server["createConnectionInjector"]>;
  /** How to end each open streaming call. */
  readonly #openStreams = new Set<(error: ApiError) => void>();
  #isStopping = false;

  constructor(options: GrpcServerOptions) {
    this.#options = options;
    const limitBytes = options.maxRequestBytes + requestOverheadBytes;
    this.#server = new Server({
      "grpc.max_receive_message_length": Math.max(limitBytes, hardLimitBytesMin),
      "grpc.max_send_message_length": -1,
      "grpc.max_concurrent_streams": options.maxConcurrentStreams,
      ...(options.keepaliveIntervalMs > 0
        ? {
            "grpc.keepalive_time_ms": timerMs(options.keepaliveIntervalMs),
            "grpc.keepalive_timeout_ms": timerMs(options.keepaliveTimeoutMs),
          }
        : {}),
      "grpc.enable_channelz": 0,
    });
    for (const route of options.routes) this.#register(route, limitBytes);
    answerUnknownMethods(this.#server);
    frameInPlace();
    this.#injector = this.#server.createConnectionInjector(ServerCredentials.createInsecure());
  }

  /** Serves a connection whose client speaks HTTP/2. What was read from it already must be put back. */
  serve(socket: Socket): void {
    this.#injector.injectConnection(socket);
  }

  /** Ends streams, lets unary calls finish until the deadline, then closes every connection. */
  async stop(graceMs: number): Promise<void> {
    this.#isStopping = true;
    for (const end of [...this.#openStreams]) end(apiError("stopped"));
    let force: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      force = setTimeout(() => {
        this.#server.forceShutdown();
        resolve();
      }, graceMs);
      this.#server.tryShutdown(() => resolve());
    });
    clearTimeout(force);
  }

  #register(route: Route, limitBytes: number): void {
    const metrics = this.#options.metrics.method(route.path);
    const decode = (bytes: Buffer): unknown => {
      metrics.received(bytes.length);
      if (bytes.length > limitBytes) return new BadMessage(messageTooLarge(bytes.length, limitBytes));
      try {
        return route.decode(bytes);
      } catch (error) {
        return new BadMessage(malformedMessage(error));
      }
    };
    const send = (bytes: Buffer): Buffer => bytes;
    const isNew = ((): boolean => {
      switch (route.kind) {
        case "unary": {
          const serve = (call: ServerUnaryCall<unknown, Buffer>, done: sendUnaryData<Buffer>): void =>
            this.#serveUnary(route, metrics, call, done);
          return this.#server.register(route.path, serve, send, decode, "unary");
        }
        case "serverStream": {
          const serve = (call: ServerWritableStream<unknown, Buffer>): void =>
            this.#serveServerStream(route, metrics, call);
          return this.#server.register(route.path, serve, send, decode, "serverStream");
        }
        case "bidi": {
          const serve = (call: ServerDuplexStream<unknown, Buffer>): void =>
            this.#serveBidi(route, metrics, call);
          return this.#server.register(route.path, serve, send, decode, "bidi");
        }
      }
    })();
    assert(isNew, "each method has one route", { path: route.path });
  }

  // Hot: every unary call passes here.
  #serveUnary(
    route: UnaryRoute,
    metrics: MethodMetrics,
    surface: ServerUnaryCall<unknown, Buffer>,
    done: sendUnaryData<Buffer>,
  ): void {
    const startMs = performance.now();
    metrics.started();
    const call = new GrpcCall(surface, (error) => fail(error));
    const end = (code: ErrorCode): void => {
      call.end();
      metrics.handled(code, (performance.now() - startMs) / 1000);
    };
    call.onCancel(() => end(call.isPastDeadline ? "DeadlineExceeded" : "Canceled"));
    const fail = (error: unknown): void => {
      const known = this.#asApiError(error);
      if (call.isEnded) return;
      end(known.code);
      done(statusOf(known));
    };
    const answer = (response: unknown): void => {
      if (call.isEnded) return;
      const bytes = encodeResponse(route, metrics, response);
      end("OK");
      done(null, bytes);
      this.#warnIfSlow(route, call, startMs, bytes.length);
    };
    try {
      const request = surface.request;
      if (request instanceof BadMessage) throw request.error;
      this.#admit(call, "unary");
      const response = route.handler(request, call);
      if (response instanceof Promise) response.then(answer).catch(fail);
      else answer(response);
    } catch (error) {
      fail(error);
    }
  }

  #serveServerStream(
    route: ServerStreamRoute,
    metrics: MethodMetrics,
    surface: ServerWritableStream<unknown, Buffer>,
  ): void {
    this.#serveStream(route, metrics, surface as unknown as ServerDuplexStream<unknown, Buffer>, (call) => {
      const request = surface.request;
      if (request instanceof BadMessage) throw request.error;
      return route.handler(request, call);
    });
  }

  #serveBidi(route: BidiRoute, metrics: MethodMetrics, surface: ServerDuplexStream<unknown, Buffer>): void {
    this.#serveStream(route, metrics, surface, (call) => {
      const reader = new RequestReader(surface as unknown as Duplex, call, (incoming) => {
        if (incoming instanceof BadMessage) throw incoming.error;
        return incoming;
      });
      return route.handler(reader, call);
    });
  }

  #serveStream(
    route: Route,
    metrics: MethodMetrics,
    surface: ServerDuplexStream<unknown, Buffer>,
    open: (call: GrpcCall) => AsyncIterable<unknown>,
  ): void {
    const startMs = performance.now();
    metrics.started();
    const call = new GrpcCall(surface, (error) => endOpenStream(error));
    let iterator: AsyncIterator<unknown> | undefined;
    let stopWatchingLeader = (): void => {};
    let isEndedHere = false;
    const end = (code: ErrorCode): void => {
      call.end();
      stopWatchingLeader();
      this.#openStreams.delete(endOpenStream);
      metrics.handled(code, (performance.now() - startMs) / 1000);
    };
    const fail = (error: unknown): void => {
      const known = this.#asApiError(error);
      if (call.isEnded) return;
      end(known.code);
      surface.emit("error", statusOf(known));
    };
    /** Stops the handler and tells the client why. */
    const endOpenStream = (error: ApiError): void => {
      if (call.isEnded) return;
      isEndedHere = true;
      call.cancel();
      fail(error);
    };
    call.onCancel(() => {
      iterator?.return?.().catch(fail);
      if (!isEndedHere) end(call.isPastDeadline ? "DeadlineExceeded" : "Canceled");
    });
    try {
      const wantsLeader = this.#admit(call, "stream");
      this.#openStreams.add(endOpenStream);
      if (wantsLeader) {
        stopWatchingLeader = this.#options.leader.onLeaderLost(() => endOpenStream(apiError("noLeader")));
      }
      iterator = open(call)[Symbol.asyncIterator]();
    } catch (error) {
      fail(error);
      return;
    }
    new ResponseWriter(surface as unknown as Writable, call)
      .sendAll(iterator, (response) => encodeResponse(route, metrics, response))
      .then(() => {
        if (call.isEnded || call.isCancelled) return;
        end("OK");
        surface.end();
      })
      .catch(fail);
  }

  /** Checks that hold for every call. True when the client wants to be told about a lost leader. */
  #admit(call: GrpcCall, type: "unary" | "stream"): boolean {
    if (this.#isStopping) throw apiError("stopped");
    this.#options.metrics.clientRequest(type, call.header("client-api-version") ?? "unknown");
    if (call.header("hasleader") !== "true") return false;
    if (!this.#options.leader.hasLeader()) throw apiError("noLeader");
    return true;
  }

  #asApiError(error: unknown): ApiError {
    if (error instanceof ApiError) return error;
    this.#options.onUnexpected(error);
    return new ApiError("Unknown", error instanceof Error ? error.message : String(error));
  }

  #warnIfSlow(route: UnaryRoute, call: GrpcCall, startMs: number, responseBytes: number): void {
    const tookMs = performance.now() - startMs;
    if (tookMs <= this.#options.warningUnaryRequestDurationMs) return;
    this.#options.log.warn("request stats", {
      "time spent": `${tookMs.toFixed(3)}ms`,
      remote: call.peer,
      "response type": route.path,
      "response size": responseBytes,
    });
  }
}

function encodeResponse(route: Route, metrics: MethodMetrics, response: unknown): Buffer {
  const bytes = route.encode(response);
  metrics.sent(bytes.length);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Node's timers end at 2^31 ms; a longer interval is as good as that. */
function timerMs(durationMs: number): number {
  return Math.min(durationMs, 2 ** 31 - 1);
}

interface UntypedStream {
  readonly metadata: Metadata;
  emit(event: "error", status: { readonly code: number; readonly details: string }): boolean;
}

/**
 * grpc-js answers a path without a handler in words of its own and has no option for that, so its table
 * of handlers gets a last entry for every other path. The test over a socket holds this to the pinned version.
 */
function answerUnknownMethods(server: Server): void {
  const { handlers } = server as unknown as { readonly handlers: Map<string, unknown> };
  assert(handlers instanceof Map, "grpc-js keeps its handlers in a map");
  const known = handlers.get.bind(handlers);
  handlers.get = (path) =>
    known(path) ?? {
      func: (stream: UntypedStream) => stream.emit("error", statusOf(unknownMethod(path))),
      serialize: (bytes: Buffer) => bytes,
      deserialize: (bytes: Buffer) => bytes,
      type: "bidi",
      path,
    };
}
