// Accepts TLS connections and hands them on once they are verified. The handshake has a deadline, so connections that
// say nothing go away.

import { constants } from "node:crypto";
import type { Server, Socket } from "node:net";
import { createServer, type TLSSocket } from "node:tls";
import type { Logger } from "../lib/log.ts";
import type { Credentials } from "./credentials.ts";
import { HandshakeGate } from "./handshake-gate.ts";
import { HostNames } from "./host-names.ts";
import { refusalOf } from "./peer-check.ts";

const handshakeTimeoutMs = 10_000;
/** Each takes some tens of kilobytes. Clients that are turned away come again. */
const handshakesMaxDefault = 1_000;

export interface TlsServerOptions {
  readonly credentials: Credentials;
  readonly protocols: readonly string[];
  readonly log: Logger;
  /** `socket.alpnProtocol` tells what was agreed on, false without. */
  readonly onConnection: (socket: TLSSocket) => void;
  /** Connections that are not verified yet; one more is closed at once. */
  readonly handshakesMax?: number;
  readonly hostNames?: HostNames;
}

/** Not listening yet. */
export function createTlsServer(options: TlsServerOptions): Server {
  const { credentials, protocols, log, onConnection, hostNames = new HostNames() } = options;
  const { settings } = credentials;
  const wantsCert = settings.requiresClientCert || settings.trustedCaFile !== "";
  // A session that is taken up again would skip the look at the certificate and at those who issued it, and so would
  // another certificate shown later on.
  const ofEveryContext = {
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION | (wantsCert ? constants.SSL_OP_NO_TICKET : 0),
  };
  const server = createServer({
    ...credentials.current().options,
    handshakeTimeout: handshakeTimeoutMs,
    ALPNProtocols: [...protocols],
    requestCert: wantsCert,
    rejectUnauthorized: wantsCert,
    noDelay: true,
    ...ofEveryContext,
  });
  const gate = new HandshakeGate(server, options.handshakesMax ?? handshakesMaxDefault, log);
  let known = credentials.current().context;
  // Before the handshake of this very connection begins.
  server.prependListener("connection", () => {
    const { context, options } = credentials.current();
    if (context === known) return;
    known = context;
    server.setSecureContext({ ...options, ...ofEveryContext });
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
    void refusalOf(socket, credentials, hostNames).then((refusal) => {
      socket.off("error", onError);
      if (refusal === undefined) {
        gate.passed(socket);
        onConnection(socket);
      } else {
        log.warn("rejected connection", { "remote-addr": socket.remoteAddress, error: refusal });
        socket.on("error", onError);
        socket.destroy();
      }
    });
  });
  return server;
}
