// etcd's JSON gateway: a POST with JSON is a call of the gRPC API, as etcd has it by grpc-gateway. It knows neither
// sockets nor services: requests come from the HTTP server, and calls go where those of gRPC clients go, so that all
// checks and counts are theirs. Tested against toy calls here, and against a real etcd by `npm run test:etcd`.

import { posix } from "node:path";
import { Readable } from "node:stream";
import { timeoutUnitMs } from "../../api/call.ts";
import { ApiError } from "../../api/errors.ts";
import type { LocalCall, LocalCalls } from "../../api/local-calls.ts";
import type { HttpRequest, HttpResponse } from "../../lib/http-exchange.ts";
import { onePiece } from "../../wire/codec.ts";
import { jsonMessageOf } from "../../wire/json-fields.ts";
import { JsonText } from "../../wire/json-response.ts";
import { JsonError } from "../../wire/json-scanner.ts";
import type { Method } from "../../wire/services.ts";
import {
  asApiError,
  errorChunk,
  errorResponse,
  messageFields,
  redirectResponse,
  streamErrorResponse,
  wholeResponse,
} from "./answers.ts";
import { methodByGatewayPath } from "./paths.ts";
import { PulledBody } from "./pulled-body.ts";
import { type MessageLimits, messagesOf, Room } from "./request-messages.ts";

export interface GatewayOptions {
  readonly calls: LocalCalls;
  /** Of a request message as protobuf. */
  readonly maxRequestBytes: number;
  /** How long a message may take to arrive, or a piece of an answer to leave. */
  readonly patienceMs?: number;
}

/** Base64 makes four bytes of three, and names and white space want room as well. */
const jsonBytesPerByte = 2;
const jsonOverheadBytes = 1024 * 1024;
/** For messages that are on their way, those that came in one piece left aside. */
const roomBytes = 128 * 1024 * 1024;
const defaultPatienceMs = 60_000;

export class Gateway {
  /** Of a request message as JSON. */
  readonly jsonBytesMax: number;
  /** For messages that are not whole. */
  readonly room: Room;
  readonly #calls: LocalCalls;
  readonly #limits: MessageLimits;

  constructor({ calls, maxRequestBytes, patienceMs = defaultPatienceMs }: GatewayOptions) {
    this.#calls = calls;
    this.jsonBytesMax = jsonBytesPerByte * maxRequestBytes + jsonOverheadBytes;
    this.room = new Room(Math.max(roomBytes, this.jsonBytesMax));
    this.#limits = { jsonBytesMax: this.jsonBytesMax, patienceMs, room: this.room };
  }

  /** True when the request is the gateway's to answer. */
  serves(url: string): boolean {
    const path = decoded(rawPathOf(url)) ?? url;
    return path === "/v3" || path.startsWith("/v3/") || path.startsWith("/v3beta/");
  }

  /** Only for what it serves. Rejects only for a bug. */
  async serve(request: HttpRequest): Promise<HttpResponse> {
    const whole = rawPathOf(request.path);
    const raw = whole.replace(/^\/v3beta\//, "/v3/");
    const clean = raw === "/v3" ? "/v3/" : posix.normalize(raw);
    if (clean !== raw) return redirectResponse(clean + request.path.slice(whole.length));
    try {
      return await this.#call(overridden(request), decoded(raw));
    } catch (error) {
      return errorResponse(asApiError(error));
    }
  }

  #call(request: HttpRequest, path: string | undefined): Promise<HttpResponse> {
    const method = methodByGatewayPath.get(path ?? "");
    if (method === undefined) throw new ApiError("NotFound", "Not Found");
    if (request.method !== "POST") throw new ApiError("Unimplemented", "Method Not Allowed");
    const gone = new AbortController();
    if (request.signal.aborted) gone.abort();
    else request.signal.addEventListener("abort", () => gone.abort(), { once: true });
    const call = {
      path: method.path,
      metadata: metadataOf(request),
      timeoutMs: timeoutOf(request),
      peer: request.remoteAddress,
      signal: gone.signal,
    };
    return method.kind === "unary"
      ? this.#unary(request, method, call)
      : this.#stream(request, method, call, () => gone.abort());
  }

  async #unary(request: HttpRequest, method: Method, call: LocalCall): Promise<HttpResponse> {
    const message = await this.#onlyMessage(request, method);
    const { pieces, release } = await this.#calls.unary(call, message);
    const text = new JsonText(jsonMessageOf(method.responseType), pieces);
    const first = text.next() as Uint8Array;
    const second = text.next();
    if (second === undefined) {
      release();
      return wholeResponse(200, messageFields, first);
    }
    const ready = [first, second];
    const next = async (): Promise<Uint8Array | undefined> => ready.shift() ?? text.next();
    return {
      status: 200,
      fields: messageFields,
      body: new PulledBody({ next, onGone: release, stallMs: this.#limits.patienceMs, signal: call.signal }),
    };
  }

  /** The first message of the body; none at all is an empty one. */
  async #onlyMessage(request: HttpRequest, method: Method): Promise<Uint8Array> {
    const messages = this.#messages(request, method);
    try {
      const first = await messages.next();
      return first.done === true ? emptyMessage : first.value;
    } catch (error) {
      if (isBroken(request.body)) throw new ApiError("Canceled", "context canceled");
      throw error;
    } finally {
      await messages.return(undefined);
    }
  }

  #messages({ body }: HttpRequest, { requestType, kind }: Method): AsyncGenerator<Uint8Array> {
    return messagesOf(body, jsonMessageOf(requestType), this.#limits, { isFirstDue: kind !== "bidi" });
  }

  async #stream(
    request: HttpRequest,
    method: Method,
    call: LocalCall,
    cancel: () => void,
  ): Promise<HttpResponse> {
    const requests =
      method.kind === "bidi"
        ? untilMalformed(this.#messages(request, method), request.body)
        : only(await this.#onlyMessage(request, method));
    const stream = this.#calls.stream(call, requests);
    const type = jsonMessageOf(method.responseType);
    const textOf = (bytes: Uint8Array | undefined): JsonText | undefined =>
      bytes && new JsonText(type, onePiece(bytes), { prefix: `{"result":`, suffix: "}\n", isHtmlSafe: true });
    let text: JsonText | undefined;
    try {
      text = textOf(await stream.next());
    } catch (error) {
      return streamErrorResponse(asApiError(error));
    }
    // A stream without a message has no type either.
    const fields = text === undefined ? [] : messageFields;
    const next = async (): Promise<Uint8Array | undefined> => {
      while (text !== undefined) {
        const piece = text.next();
        if (piece !== undefined) return piece;
        text = undefined;
        try {
          text = textOf(await stream.next());
        } catch (error) {
          return errorChunk(asApiError(error));
        }
      }
      return undefined;
    };
    // Who watches may be silent for long.
    const stallMs = method.kind === "bidi" ? undefined : this.#limits.patienceMs;
    const body = new PulledBody({ next, onGone: cancel, stallMs, signal: call.signal });
    return { status: 200, fields, body };
  }
}

const emptyMessage = new Uint8Array(0);

async function* only(message: Uint8Array): AsyncIterable<Uint8Array> {
  yield message;
}

/** To a stream, what is no JSON is the end of the requests, as it is in etcd; so is a body that breaks off. */
async function* untilMalformed(
  messages: AsyncIterable<Uint8Array>,
  body: Readable,
): AsyncIterable<Uint8Array> {
  try {
    yield* messages;
  } catch (error) {
    if (!(error instanceof JsonError || isBroken(body))) throw error;
  }
}

/** The client went before the end of the body. */
function isBroken(body: Readable): boolean {
  return body.destroyed && !body.readableEnded;
}

/** A form may name another method than POST; its body is then the form's, and no message. */
function overridden(request: HttpRequest): HttpRequest {
  const { "x-http-method-override": method = "", "content-type": type } = request.headers;
  if (method === "" || request.method !== "POST" || type !== "application/x-www-form-urlencoded")
    return request;
  return { ...request, method: method.toUpperCase(), body: Readable.from([]) };
}

/** Without its query. */
function rawPathOf(url: string): string {
  return url.split(/[?#]/, 1)[0] as string;
}

/** Undefined for a path that cannot be decoded. */
function decoded(path: string): string | undefined {
  try {
    return decodeURIComponent(path);
  } catch {
    return undefined;
  }
}

const metadataPrefix = "grpc-metadata-";

/** What a client wants the service to see: a token, and fields that are named as metadata. */
function metadataOf({ headers }: HttpRequest): ReadonlyMap<string, string> {
  const metadata = new Map<string, string>();
  for (const [name, value] of Object.entries(headers)) {
    if (name === "authorization") metadata.set(name, value);
    else if (name.startsWith(metadataPrefix) && !name.endsWith("-bin")) {
      metadata.set(name.slice(metadataPrefix.length), value);
    }
  }
  return metadata;
}

/** Throws ApiError. Zero is no limit. */
function timeoutOf({ headers }: HttpRequest): number | undefined {
  const text = headers["grpc-timeout"];
  if (text === undefined || text === "") return undefined;
  const parts = /^([+-]?\d+)([HMSmun])$/.exec(text);
  if (parts === null) throw new ApiError("InvalidArgument", `invalid grpc-timeout: ${text}`);
  const ms = Number(parts[1]) * (timeoutUnitMs[parts[2] as string] as number);
  return ms === 0 ? undefined : ms;
}
