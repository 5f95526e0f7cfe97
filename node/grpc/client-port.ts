// The client port: gRPC and HTTP/1.1 share it, and the first bytes of a connection tell which one it speaks.

import { existsSync, unlinkSync } from "node:fs";
import { createServer, type ListenOptions, type Server, type Socket } from "node:net";
import type { TLSSocket } from "node:tls";

/** What an HTTP/2 client sends first (RFC 9113, section 3.4). */
const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");

/** A connection that says nothing for this long is closed. */
const firstBytesTimeoutMs = 10_000;

/** Takes a connection over. Bytes read so far have been put back. */
export type ServeSocket = (socket: Socket) => void;

export interface ClientPortOptions {
  /** Undefined: not served here, and such a connection is closed. */
  readonly http2: ServeSocket | undefined;
  readonly http1: ServeSocket | undefined;
  readonly isPortReused: boolean;
  /** Makes the server that listens, where it is not a plain one: it hands on sockets that are decrypted. */
  readonly createServer?: (protocols: readonly string[], onConnection: (socket: TLSSocket) => void) => Server;
  /** A connection that could not be accepted, for example for want of file descriptors. Later ones may be. */
  readonly onAcceptError: (error: Error) => void;
}

/** Where to listen. A path makes a unix socket; a socket file left by an earlier process is removed. */
export type ListenAddress = { readonly host: string; readonly port: number } | { readonly path: string };

export class ClientPort {
  readonly #options: ClientPortOptions;
  readonly #server: Server;
  /** Connections not handed over yet. */
  readonly #silent = new Set<Socket>();

  private constructor(options: ClientPortOptions) {
    this.#options = options;
    const { http2, http1 } = options;
    const protocols = [...(http2 === undefined ? [] : ["h2"]), ...(http1 === undefined ? [] : ["http/1.1"])];
    this.#server =
      options.createServer?.(protocols, (socket) => this.#route(socket)) ??
      createServer({ noDelay: true }, (socket) => this.#sniff(socket));
  }

  /** Resolves when connections are accepted; rejects with the system's error. */
  static async open(address: ListenAddress, options: ClientPortOptions): Promise<ClientPort> {
    const port = new ClientPort(options);
    if ("path" in address && existsSync(address.path)) unlinkSync(address.path);
    const listen: ListenOptions =
      "path" in address ? address : { ...address, reusePort: options.isPortReused };
    await new Promise<void>((resolve, reject) => {
      port.#server.once("error", reject);
      port.#server.listen(listen, () => {
        port.#server.off("error", reject);
        port.#server.on("error", options.onAcceptError);
        resolve();
      });
    });
    return port;
  }

  /** The bound TCP port; zero for a unix socket. */
  get port(): number {
    const address = this.#server.address();
    return typeof address === "object" && address !== null ? address.port : 0;
  }

  /** Accepts no more connections. Those handed over belong to their servers. */
  close(): void {
    this.#server.close();
    for (const socket of this.#silent) socket.destroy();
  }

  /** What was agreed on in the handshake decides; a client that named nothing shows it by what it says. */
  #route(socket: TLSSocket): void {
    if (socket.alpnProtocol === "h2") this.#handOver(socket, undefined, this.#options.http2);
    else if (socket.alpnProtocol === "http/1.1") this.#handOver(socket, undefined, this.#options.http1);
    else this.#sniff(socket);
  }

  #sniff(socket: Socket): void {
    this.#silent.add(socket);
    let first: Buffer = Buffer.alloc(0);
    const timer = setTimeout(() => socket.destroy(), firstBytesTimeoutMs);
    const onError = (): void => {
      socket.destroy();
    };
    const forget = (): void => {
      clearTimeout(timer);
      this.#silent.delete(socket);
    };
    const onReadable = (): void => {
      const chunk: Buffer | null = socket.read();
      if (chunk === null) return;
      first = first.length === 0 ? chunk : Buffer.concat([first, chunk]);
      const length = Math.min(first.length, preface.length);
      const isHttp2 = first.subarray(0, length).equals(preface.subarray(0, length));
      if (isHttp2 && length < preface.length) return;
      forget();
      socket.off("readable", onReadable);
      socket.off("error", onError);
      socket.off("close", forget);
      this.#handOver(socket, first, isHttp2 ? this.#options.http2 : this.#options.http1);
    };
    socket.on("readable", onReadable);
    socket.on("error", onError);
    socket.on("close", forget);
  }

  #handOver(socket: Socket, first: Buffer | undefined, serve: ServeSocket | undefined): void {
    if (serve === undefined) {
      socket.on("error", () => socket.destroy());
      socket.destroy();
      return;
    }
    if (first !== undefined) socket.unshift(first);
    serve(socket);
  }
}
