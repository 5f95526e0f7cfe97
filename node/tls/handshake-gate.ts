// Bounds the connections of a TLS server that have not been verified yet. Whoever comes while there are too many is
// closed before it costs anything; those who are verified do not count.

import type { Server, Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { Logger } from "../lib/log.ts";

export class HandshakeGate {
  readonly #max: number;
  readonly #log: Logger;
  #connectedCount = 0;
  // Invariant: at most #connectedCount, but for sockets that are closing.
  #verifiedCount = 0;
  #isRefusing = false;

  /** Takes the place of the server's own listener, which begins the handshake. */
  constructor(server: Server, max: number, log: Logger) {
    this.#max = max;
    this.#log = log;
    const begin = server.listeners("connection") as ((socket: Socket) => void)[];
    server.removeAllListeners("connection");
    server.on("connection", (socket: Socket) => {
      if (!this.#takes(socket)) return;
      for (const listener of begin) listener.call(server, socket);
    });
  }

  passed(socket: TLSSocket): void {
    // One that was closed meanwhile has said so already.
    if (socket.closed) return;
    this.#verifiedCount++;
    socket.once("close", () => {
      this.#verifiedCount--;
    });
  }

  #takes(socket: Socket): boolean {
    if (this.#connectedCount - this.#verifiedCount >= this.#max) {
      // Once for each time it fills up, not for each connection.
      if (!this.#isRefusing)
        this.#log.warn("rejecting connections: too many handshakes under way", { max: this.#max });
      this.#isRefusing = true;
      socket.destroy();
      return false;
    }
    this.#isRefusing = false;
    this.#connectedCount++;
    socket.once("close", () => {
      this.#connectedCount--;
    });
    return true;
  }
}
