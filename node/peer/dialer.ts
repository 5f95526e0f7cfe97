// Outgoing connections. Everything goes to the peer's advertised URLs.

import { Agent, type ClientRequest, request } from "node:http";
import type { Socket } from "node:net";

/** Opens the connection to a peer URL in the place of plain TCP: where TLS comes in. */
export type Connect = (url: URL) => Socket;

/** Streams last, so they never wait for one another; requests share a few connections. */
export type Lane = "stream" | "request";

export interface PeerRequest {
  readonly url: URL;
  readonly path: string;
  readonly method: "GET" | "POST";
  readonly headers: Readonly<Record<string, string | number>>;
  readonly lane: Lane;
  /** Until the connection stands. */
  readonly dialTimeoutMs: number;
  /** Without a byte in either direction. */
  readonly idleTimeoutMs: number;
}

/** A peer closes what is idle for 5 s; ours is gone before, so that no request meets a closing connection. */
const keepIdleMs = 4500;

export class Dialer {
  readonly #agents: Readonly<Record<Lane, Agent>>;
  readonly #connect: Connect | undefined;

  constructor(options: { readonly connect?: Connect; readonly connectionsMax?: number } = {}) {
    this.#connect = options.connect;
    const maxSockets = options.connectionsMax ?? 8;
    this.#agents = {
      stream: new Agent({ keepAlive: false }),
      request: new Agent({ keepAlive: true, maxSockets, timeout: keepIdleMs }),
    };
    const { connect } = options;
    if (connect === undefined) return;
    for (const agent of Object.values(this.#agents)) {
      agent.createConnection = (wanted) => connect((wanted as unknown as { readonly peerUrl: URL }).peerUrl);
    }
  }

  /** The caller writes the body, ends the request and listens for "response" and "error". Throws for https alone. */
  open(wanted: PeerRequest): ClientRequest {
    const { url, path, method, headers, dialTimeoutMs, idleTimeoutMs } = wanted;
    if (url.protocol !== "http:" && this.#connect === undefined) {
      throw new Error(`cannot reach ${url.href}: only http is set up`);
    }
    const options = {
      agent: this.#agents[wanted.lane],
      host: bareHost(url),
      port: url.port === "" ? defaultPort(url) : Number(url.port),
      path,
      method,
      headers,
      // The agent hands this on to whoever connects.
      peerUrl: url,
    };
    const outgoing = request(options);
    const deadline = setTimeout(
      () => outgoing.destroy(new Error(`no connection to ${url.host} within ${dialTimeoutMs} ms`)),
      dialTimeoutMs,
    );
    const onConnected = (): void => clearTimeout(deadline);
    outgoing.on("socket", (socket) => {
      if (socket.connecting) socket.once("connect", onConnected);
      else onConnected();
    });
    outgoing.on("close", onConnected);
    outgoing.setTimeout(idleTimeoutMs, () =>
      outgoing.destroy(new Error(`${url.host} was silent for ${idleTimeoutMs} ms`)),
    );
    outgoing.setNoDelay(true);
    return outgoing;
  }

  /** Closes every connection, used ones too. */
  close(): void {
    for (const agent of Object.values(this.#agents)) agent.destroy();
  }
}

function bareHost(url: URL): string {
  return url.hostname.startsWith("[") ? url.hostname.slice(1, -1) : url.hostname;
}

function defaultPort(url: URL): number {
  return url.protocol === "https:" ? 443 : 80;
}
