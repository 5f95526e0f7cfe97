// A server over TLS and its clients on loopback, with certificates made on the spot.

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { type ConnectionOptions, connect, type TLSSocket } from "node:tls";
import { type Logger, silentLogger } from "../../lib/log.ts";
import { Credentials } from "../credentials.ts";
import { createTlsServer, type TlsServerOptions } from "../server.ts";
import type { TlsSettings } from "../settings.ts";
import { Authority, type IssuedPair } from "./authority.ts";

export interface Bed {
  readonly folder: string;
  readonly ca: Authority;
  readonly server: IssuedPair;
  /** What the log complained of. */
  readonly warnings: string[];
  readonly settings: TlsSettings;
}

export async function makeBed(t: TestContext): Promise<Bed> {
  const folder = mkdtempSync(join(tmpdir(), "etcdlike-tls-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const ca = await Authority.create(folder);
  const server = await ca.issue({ name: "server", hosts: ["127.0.0.1"] });
  const settings: TlsSettings = {
    ...server,
    clientCertFile: "",
    clientKeyFile: "",
    trustedCaFile: ca.caFile,
    requiresClientCert: true,
    crlFile: "",
    allowedCns: [],
    allowedHostnames: [],
    checksClientAddress: false,
    minVersion: "TLSv1.2",
    maxVersion: undefined,
    ciphers: "",
    isSelfSigned: false,
  };
  return { folder, ca, server, warnings: [], settings };
}

/** Serves "hello" to everybody who is let in. Answers with the port. */
export async function serve(
  t: TestContext,
  bed: Bed,
  changes: Partial<TlsSettings> = {},
  options: Pick<TlsServerOptions, "handshakesMax" | "hostNames"> = {},
): Promise<number> {
  const log: Logger = {
    ...silentLogger,
    warn: (text, fields) => bed.warnings.push(`${text}: ${String(fields?.["error"])}`),
  };
  const credentials = await Credentials.open({ ...bed.settings, ...changes }, "server", log);
  const server = createTlsServer({
    credentials,
    protocols: ["h2", "http/1.1"],
    log,
    onConnection: (socket) => socket.end(`hello ${socket.alpnProtocol}`),
    ...options,
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  return (server.address() as AddressInfo).port;
}

/** What a client with this pair reads until the end; the error's code or message when it is turned away. */
export function ask(
  bed: Bed,
  port: number,
  pair?: IssuedPair,
  options: ConnectionOptions = {},
  onSocket: (socket: TLSSocket) => void = () => {},
): Promise<string> {
  return new Promise((resolve) => {
    const socket: TLSSocket = connect({
      port,
      host: "127.0.0.1",
      ca: readFileSync(bed.ca.caFile),
      ALPNProtocols: ["h2"],
      ...(pair === undefined ? {} : { cert: readFileSync(pair.certFile), key: readFileSync(pair.keyFile) }),
      ...options,
    });
    onSocket(socket);
    let text = "";
    socket.on("data", (bytes) => {
      text += String(bytes);
    });
    socket.on("error", (error) => {
      text ||= `refused: ${(error as NodeJS.ErrnoException).code ?? error.message}`;
    });
    socket.on("close", () => resolve(text || "refused: closed"));
  });
}
