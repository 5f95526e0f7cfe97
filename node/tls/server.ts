// Accepts TLS connections and hands them on once they are verified. The handshake has a deadline, so connections that
// say nothing go away.

import type { Server, Socket } from "node:net";
import { createServer, type TLSSocket } from "node:tls";
import type { Logger } from "../lib/log.ts";
import type { Credentials } from "./credentials.ts";
import { refusalOf } from "./peer-check.ts";

const handshakeTimeoutMs = 10_000;

export interface TlsServerOptions {
  readonly credentials: Credentials;
  readonly protocols: readonly string[];
  readonly log: Logger;
  /** `socket.alpnProtocol` tells what was agreed on, false without. */
  readonly onConnection: (socket: TLSSocket) => void;
}

/** Not listening yet. */
export function createTlsServer({ credentials, protocols, log, onConnection }: TlsServerOptions): Server {
  const { settings } = credentials;
  const wantsCert = settings.requiresClientCert || settings.trustedCaFile !== "";
  const server = createServer({
    ...credentials.current().options,
    handshakeTimeout: handshakeTimeoutMs,
    ALPNProtocols: [...protocols],
    requestCert: wantsCert,
    rejectUnauthorized: wantsCert,
    noDelay: true,
  });
  let known = credentials.current().context;
  // Before the handshake of this very connection begins.
  server.prependListener("connection", () => {
    const { context, options } = credentials.current();
    if (context === known) return;
    known = context;
    server.setSecureContext(options);
  });
  server.on("tlsClientError", (error: Error, socket: Socket) => {
    log.warn("rejected connection", { "remote-addr": socket.remoteAddress, error: error.message });
    socket.destroy();
  });
  server.on("secureConnection", (socket: TLSSocket) => {
    const onError = (): void => {
      socket.destroy();
    };
    socket.on("error", onError);
    void refusalOf(socket, credentials).then((refusal) => {
      socket.off("error", onError);
      if (refusal === undefined) onConnection(socket);
      else {
        log.warn("rejected connection", { "remote-addr": socket.remoteAddress, error: refusal });
        socket.on("error", onError);
        socket.destroy();
      }
    });
  });
  return server;
}
