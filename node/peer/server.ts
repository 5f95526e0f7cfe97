// The peer port's server, HTTP/1.1. It listens where it is told, or takes connections that somebody else accepted,
// which is where TLS comes in.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { answerNotFound } from "./answers.ts";
import { memberRoutes, promotePrefix, servePromote } from "./member-routes.ts";
import type { MemberPort } from "./port.ts";
import { serveMessage, serveProbe, serveStream } from "./raft-routes.ts";
import { serveSnapshot } from "./snapshot-receiver.ts";
import type { Transport } from "./transport.ts";

export interface PeerServerOptions {
  readonly transport: Transport;
  readonly member: MemberPort;
  /** A bug in a handler, or in what it called: ends the process. */
  readonly onUnexpected: (error: unknown) => void;
}

export type PeerAddress = { readonly host: string; readonly port: number } | { readonly path: string };

/** Until the head of a request is there. */
const headMs = 10_000;
/** Larger heads are no member's. */
const headBytesMax = 16 * 1024;
const streamPrefix = "/raft/stream/";

export class PeerServer {
  readonly #options: PeerServerOptions;
  readonly #servers: Server[] = [];

  constructor(options: PeerServerOptions) {
    this.#options = options;
  }

  /** Rejects when the address cannot be bound. Resolves with the port, zero for a path. */
  listen(address: PeerAddress): Promise<number> {
    const server = this.#create();
    return new Promise((resolve, reject) => {
      server.on("error", reject);
      server.listen(address, () => {
        server.off("error", reject);
        this.#servers.push(server);
        const bound = server.address() as AddressInfo | string;
        resolve(typeof bound === "string" ? 0 : bound.port);
      });
    });
  }

  /** Serves a connection that was accepted, and decrypted, elsewhere. */
  serve(socket: Socket): void {
    let server = this.#servers[0];
    if (server === undefined) {
      server = this.#create();
      // Node's server begins its time limits for heads when it listens, and this one never does.
      server.emit("listening");
      this.#servers.push(server);
    }
    server.emit("connection", socket);
  }

  /** Accepts nothing more and closes every connection. Stop the transport first: its streams are connections here. */
  async stop(): Promise<void> {
    const closed = this.#servers.map(
      (server) =>
        new Promise<void>((resolve) => {
          server.close(() => resolve());
          server.closeAllConnections();
        }),
    );
    await Promise.all(closed);
  }

  #create(): Server {
    const { limits } = this.#options.transport.settings;
    const server = createServer({
      headersTimeout: headMs,
      // A store takes as long as it takes; bodies are bounded by size and by silence.
      requestTimeout: 0,
      connectionsCheckingInterval: headMs / 10,
      maxHeaderSize: headBytesMax,
      keepAliveTimeout: limits.readTimeoutMs,
      noDelay: true,
    });
    server.timeout = limits.readTimeoutMs;
    server.on("request", (request, response) => {
      // A connection that breaks shows where its bytes are awaited.
      request.on("error", () => {});
      response.on("error", () => {});
      response.once("finish", () => this.#endSoon(request));
      void this.#serve(request, response);
    });
    return server;
  }

  /** An answer need not wait for the whole request. What is left of it is let by, but not for ever. */
  #endSoon(request: IncomingMessage): void {
    if (request.complete) return;
    const { readTimeoutMs } = this.#options.transport.settings.limits;
    const timer = setTimeout(() => request.socket.destroy(), readTimeoutMs);
    request.once("close", () => clearTimeout(timer));
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      await this.#route(request, response);
    } catch (error) {
      // Of a request that was cut off nobody waits for the answer.
      if (request.destroyed && !request.complete) return;
      this.#options.onUnexpected(error);
    }
  }

  #route(request: IncomingMessage, response: ServerResponse): Promise<void> | void {
    const { transport, member } = this.#options;
    const path = (request.url ?? "").split("?", 1)[0] as string;
    if (path === "/raft") return serveMessage(transport, request, response);
    if (path.startsWith(streamPrefix)) return serveStream(transport, request, response, path);
    if (path === "/raft/snapshot") return serveSnapshot(transport, request, response);
    if (path === "/raft/probing") return serveProbe(response);
    const context = { settings: transport.settings, member };
    if (path.startsWith(promotePrefix)) {
      return servePromote(context, request, response, path.slice(promotePrefix.length));
    }
    const route = Object.hasOwn(memberRoutes, path) ? memberRoutes[path] : undefined;
    return route === undefined ? answerNotFound(response) : route(context, request, response);
  }
}
