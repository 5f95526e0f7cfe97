// The gateway over WebSockets, for clients that cannot send and receive at once over HTTP/1.1, such as browsers: what
// the client says is the body of a POST, and each line of the answer is a message. etcd has it by grpc-websocket-proxy.

import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import { type Duplex, Readable } from "node:stream";
import { type WebSocket, WebSocketServer } from "ws";
import type { HttpRequest } from "../../lib/http-exchange.ts";
import type { Guard } from "../guard.ts";
import type { Gateway } from "./gateway.ts";

/** What a server without room closes with. */
const tryAgainLater = 1013;
/** Of a ping or pong from a client: flags, length and mask. */
const controlHeadBytes = 6;
/** A client that does not read gets no answers to its pings either. */
const unreadBytesMax = 64 * 1024;

export class GatewaySockets {
  readonly #gateway: Gateway;
  readonly #guard: Guard;
  readonly #server: WebSocketServer;

  constructor(gateway: Gateway, guard: Guard) {
    this.#gateway = gateway;
    this.#guard = guard;
    this.#server = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      maxPayload: gateway.jsonBytesMax,
      autoPong: false,
      // A token comes behind the word Bearer, for browsers can set no other field.
      handleProtocols: (_protocols, request) => (protocolOf(request).startsWith("Bearer") ? "Bearer" : false),
    });
    this.#server.on("wsClientError", (_error, socket, { method }) => {
      if (method === "GET") refuse(socket, "400 Bad Request", "Bad Request");
      else refuse(socket, "405 Method Not Allowed", "Method Not Allowed");
    });
  }

  /** Whether a request that asks for another protocol gets it. */
  wants({ headers, url = "" }: IncomingMessage): boolean {
    return headers.upgrade?.toLowerCase() === "websocket" && this.#gateway.serves(url);
  }

  /** Answers such a request. `head` is what came behind it. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on("error", () => socket.destroy());
    const { origin, host = "" } = request.headers;
    const { refusal, fields } = this.#guard("GET", host, origin);
    if (refusal !== undefined)
      refuse(socket, `${refusal.status} Misdirected Request`, refusal.body.trimEnd());
    // A page may open a WebSocket to anywhere, and read what comes: nothing else keeps foreign ones out.
    else if (origin !== undefined && fields.length === 0) refuse(socket, "403 Forbidden", "Forbidden");
    else this.#server.handleUpgrade(request, socket, head, (webSocket) => this.#serve(webSocket, request));
  }

  #serve(webSocket: WebSocket, request: IncomingMessage): void {
    const gone = new AbortController();
    const body = new Readable({ read: () => webSocket.resume() });
    body.on("error", () => {});
    this.#countUnfinished(webSocket, request.socket);
    webSocket.on("message", (data: Buffer) => {
      if (body.destroyed) return;
      body.push(data);
      if (!body.push("\n")) webSocket.pause();
    });
    webSocket.on("ping", (data) => {
      if (webSocket.bufferedAmount < unreadBytesMax) webSocket.pong(data);
    });
    webSocket.on("error", () => webSocket.terminate());
    webSocket.on("close", () => {
      gone.abort();
      body.destroy();
    });
    void this.#answer(webSocket, request, { body, signal: gone.signal });
  }

  /** What comes takes room until it is a whole message. Without room the client goes. */
  #countUnfinished(webSocket: WebSocket, socket: Socket): void {
    const { room } = this.#gateway;
    let bytes = 0;
    // Before the bytes become messages.
    socket.prependListener("data", (chunk: Buffer) => {
      if (room.take(chunk.length)) bytes += chunk.length;
      else {
        webSocket.close(tryAgainLater, "too many unfinished messages");
        socket.destroySoon();
      }
    });
    const give = (count: number): void => {
      const given = Math.min(count, bytes);
      bytes -= given;
      room.give(given);
    };
    // Between the parts of a message, too, which go on to take their room.
    for (const name of ["ping", "pong"] as const) {
      webSocket.on(name, (data: Buffer) => give(controlHeadBytes + data.length));
    }
    for (const name of ["message", "close"] as const) webSocket.on(name, () => give(bytes));
  }

  async #answer(
    webSocket: WebSocket,
    request: IncomingMessage,
    sent: Pick<HttpRequest, "body" | "signal">,
  ): Promise<void> {
    const { url = "", headers, socket } = request;
    const authorization = authorizationOf(request);
    const response = await this.#gateway.serve({
      method: "POST",
      path: url,
      authority: headers.host ?? "",
      headers: authorization === undefined ? {} : { authorization },
      remoteAddress: socket.remoteAddress ?? "",
      ...sent,
    });
    try {
      await sendLines(webSocket, response.body);
    } catch {
      // The client is gone, or takes nothing.
      webSocket.terminate();
    }
  }
}

/** A long line leaves in fragments, so that it is never held as a whole. */
async function sendLines(webSocket: WebSocket, body: Readable): Promise<void> {
  let isWithin = false;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    let start = 0;
    for (let end = chunk.indexOf("\n"); end >= 0; end = chunk.indexOf("\n", start)) {
      await send(webSocket, chunk.subarray(start, end), true);
      isWithin = false;
      start = end + 1;
    }
    if (start === chunk.length) continue;
    await send(webSocket, chunk.subarray(start), false);
    isWithin = true;
  }
  if (isWithin) await send(webSocket, Buffer.alloc(0), true);
  webSocket.close(1000);
}

function send(webSocket: WebSocket, bytes: Uint8Array, fin: boolean): Promise<void> {
  return new Promise((resolve, reject) => {
    webSocket.send(bytes, { binary: false, fin }, (error) => (error ? reject(error) : resolve()));
  });
}

function refuse(socket: Duplex, status: string, text: string): void {
  const fields = "Connection: close\r\nContent-Type: text/plain; charset=utf-8\r\nSec-Websocket-Version: 13";
  socket.end(`HTTP/1.1 ${status}\r\n${fields}\r\nContent-Length: ${text.length + 1}\r\n\r\n${text}\n`);
}

function protocolOf({ headers }: IncomingMessage): string {
  return headers["sec-websocket-protocol"] ?? "";
}

/** A token, in a cookie or behind `Bearer,` in the list of protocols. */
function authorizationOf(request: IncomingMessage): string | undefined {
  const cookie = /(?:^|;\s*)token=([^;]*)/.exec(request.headers.cookie ?? "")?.[1];
  if (cookie !== undefined) return `Bearer ${cookie}`;
  const protocol = protocolOf(request);
  const at = protocol.indexOf("Bearer,");
  return at < 0 ? undefined : `Bearer ${protocol.slice(at + "Bearer,".length).trim()}`;
}
