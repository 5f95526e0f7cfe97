// Requests over HTTP/2 that are not gRPC: they reach the same routes as those over HTTP/1.1.

import { Readable } from "node:stream";
import type { HttpRequest, HttpResponse } from "../lib/http-exchange.ts";
import type { Connection } from "./http2/connection.ts";
import { ErrorCode } from "./http2/protocol.ts";
import type { RequestHead } from "./http2/request-head.ts";
import { lowWaterBytes, type Stream, type StreamOwner } from "./http2/stream.ts";

/** The HTTP routes of the member. Rejects only for a bug. */
export type ServeHttp = (request: HttpRequest) => Promise<HttpResponse>;

/** Fields that belong to a connection of HTTP/1.1. */
const connectionFields: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "transfer-encoding",
  "upgrade",
]);

export class HttpExchange implements StreamOwner {
  readonly #connection: Connection;
  readonly #stream: Stream;
  /** What the client sent and the route did not take yet; beyond a window's worth the client waits. */
  readonly #body = new Readable({ read: () => this.#onBodyRead() });
  readonly #gone = new AbortController();
  #response: Readable | undefined;
  #isOver = false;

  constructor(
    connection: Connection,
    request: { readonly streamId: number; readonly head: RequestHead; readonly isRemoteOpen: boolean },
    options: { readonly serve: ServeHttp; readonly onUnexpected: (error: unknown) => void },
  ) {
    this.#connection = connection;
    const bodyBytes = request.head.contentLength;
    this.#stream = connection.open(request.streamId, this, request.isRemoteOpen, bodyBytes);
    this.#body.on("error", () => {});
    options
      .serve(this.#requestOf(request.head))
      .then((response) => this.#answer(response))
      .catch((error) => {
        this.#connection.reset(this.#stream, ErrorCode.internalError);
        options.onUnexpected(error);
      });
  }

  onData(bytes: Uint8Array, start: number, end: number): void {
    if (this.#isOver || this.#body.destroyed) {
      this.#connection.windows.grant(this.#stream);
      return;
    }
    if (!this.#connection.windows.hold(this.#stream, end - start)) this.onOverload();
    else this.#body.push(bytes.slice(start, end));
  }

  onEnd(): void {
    if (!this.#body.destroyed) this.#body.push(null);
  }

  onReset(): void {
    this.#end();
    this.#gone.abort();
    this.#response?.destroy();
  }

  onRoom(): void {
    this.#response?.resume();
  }

  onOverload(): void {
    this.#connection.endWithFields(this.#stream, [":status", "429"]);
    this.onReset();
  }

  #requestOf({ method, path, authority, fields }: RequestHead): HttpRequest {
    // Without a prototype, whose names are field names, too.
    const headers: Record<string, string> = Object.create(null);
    for (let i = 0; i < fields.length; i += 2) {
      const name = fields[i] as string;
      const value = fields[i + 1] as string;
      const before = headers[name];
      headers[name] = before === undefined ? value : `${before}${name === "cookie" ? "; " : ", "}${value}`;
    }
    const remoteAddress = this.#connection.socket.remoteAddress ?? "";
    return { method, path, authority, headers, body: this.#body, remoteAddress, signal: this.#gone.signal };
  }

  /** The route took some, and can take more. */
  #onBodyRead(): void {
    if (!this.#stream.isLocalOpen) return;
    const { windows } = this.#connection;
    windows.release(this.#stream, this.#stream.heldBytes - this.#body.readableLength);
    windows.grant(this.#stream);
  }

  #answer({ status, fields, body }: HttpResponse): void {
    if (this.#isOver) {
      body.destroy();
      return;
    }
    this.#response = body;
    const kept = [":status", String(status)];
    for (let i = 0; i < fields.length; i += 2) {
      if (!connectionFields.has(fields[i] as string)) kept.push(fields[i] as string, fields[i + 1] as string);
    }
    this.#connection.sendHead(this.#stream, this.#connection.sender.encoder.plain(kept));
    body.on("data", (chunk: Buffer) => {
      this.#connection.sendBody(this.#stream, chunk);
      if (this.#stream.queuedBytes > lowWaterBytes) body.pause();
    });
    body.on("end", () => {
      this.#end();
      this.#connection.end(this.#stream, noFields);
    });
    body.on("error", () => this.#connection.reset(this.#stream, ErrorCode.internalError));
  }

  #end(): void {
    this.#isOver = true;
    this.#body.destroy();
  }
}

const noFields: readonly string[] = [];
