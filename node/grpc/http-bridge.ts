// Requests over HTTP/2 that are not gRPC: they reach the same routes as those over HTTP/1.1.

import type { Readable } from "node:stream";
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
  readonly #head: RequestHead;
  readonly #serve: ServeHttp;
  readonly #bodyBytesMax: number;
  readonly #onUnexpected: (error: unknown) => void;
  #parts: Uint8Array[] = [];
  #bodyBytes = 0;
  #response: Readable | undefined;
  #isOver = false;

  constructor(
    connection: Connection,
    request: { readonly streamId: number; readonly head: RequestHead; readonly isRemoteOpen: boolean },
    options: {
      readonly serve: ServeHttp;
      readonly bodyBytesMax: number;
      readonly onUnexpected: (error: unknown) => void;
    },
  ) {
    this.#connection = connection;
    this.#head = request.head;
    this.#serve = options.serve;
    this.#bodyBytesMax = options.bodyBytesMax;
    this.#onUnexpected = options.onUnexpected;
    const bodyBytes = request.head.contentLength;
    this.#stream = connection.open(request.streamId, this, request.isRemoteOpen, bodyBytes);
  }

  onData(bytes: Uint8Array, start: number, end: number): void {
    if (this.#isOver) return;
    this.#bodyBytes += end - start;
    if (this.#bodyBytes > this.#bodyBytesMax) {
      this.#isOver = true;
      this.#connection.endWithFields(this.#stream, [":status", "413"]);
      return;
    }
    this.#parts.push(bytes.slice(start, end));
    if (this.#connection.windows.hold(this.#stream, end - start))
      this.#connection.windows.grant(this.#stream);
    else this.onOverload();
  }

  onEnd(): void {
    const body = Buffer.concat(this.#parts);
    this.#parts = [];
    const { method, path, authority, fields } = this.#head;
    // Without a prototype, whose names are field names, too.
    const headers: Record<string, string> = Object.create(null);
    for (let i = 0; i < fields.length; i += 2) {
      const name = fields[i] as string;
      const value = fields[i + 1] as string;
      const before = headers[name];
      headers[name] = before === undefined ? value : `${before}${name === "cookie" ? "; " : ", "}${value}`;
    }
    const remoteAddress = this.#connection.socket.remoteAddress ?? "";
    this.#serve({ method, path, authority, headers, body, remoteAddress })
      .then((response) => this.#answer(response))
      .catch((error) => {
        this.#connection.reset(this.#stream, ErrorCode.internalError);
        this.#onUnexpected(error);
      });
  }

  onReset(): void {
    this.#isOver = true;
    this.#response?.destroy();
  }

  onRoom(): void {
    this.#response?.resume();
  }

  onOverload(): void {
    this.#isOver = true;
    this.#connection.endWithFields(this.#stream, [":status", "429"]);
  }

  #answer({ status, fields, body }: HttpResponse): void {
    this.#response = body;
    if (this.#isOver) {
      body.destroy();
      return;
    }
    const kept = [":status", String(status)];
    for (let i = 0; i < fields.length; i += 2) {
      if (!connectionFields.has(fields[i] as string)) kept.push(fields[i] as string, fields[i + 1] as string);
    }
    this.#connection.sendHead(this.#stream, this.#connection.sender.encoder.plain(kept));
    body.on("data", (chunk: Buffer) => {
      this.#connection.sendBody(this.#stream, chunk);
      if (this.#stream.queuedBytes > lowWaterBytes) body.pause();
    });
    body.on("end", () => this.#connection.end(this.#stream, noFields));
    body.on("error", () => this.#connection.reset(this.#stream, ErrorCode.internalError));
  }
}

const noFields: readonly string[] = [];
