// The peers of a member: the transport that its replica sends through, and the server that other members connect to.

import type { Server } from "node:net";
import type { MemberConfig } from "./cli/config.ts";
import type { EndpointUrl } from "./cli/values.ts";
import { FatalError } from "./lib/fatal.ts";
import { hexId } from "./lib/ids.ts";
import type { Logger } from "./lib/log.ts";
import { addressOf, hasTls, listenError } from "./listen-address.ts";
import { realClock } from "./observe/real-clock.ts";
import { PeerCalls } from "./peer/peer-calls.ts";
import type { MemberPort, PeerMetrics } from "./peer/port.ts";
import { PeerServer } from "./peer/server.ts";
import { Transport } from "./peer/transport.ts";
import type { PeerSnapshots } from "./peer-snapshots.ts";
import type { LogContents } from "./replica/log-store.ts";
import type { Replica } from "./replica/replica.ts";
import { connectWith } from "./tls/connect.ts";
import type { TlsPair } from "./tls/open.ts";
import { createTlsServer } from "./tls/server.ts";

export interface PeersOptions {
  readonly config: MemberConfig;
  readonly contents: Pick<LogContents, "nodeId" | "clusterId">;
  readonly metrics: PeerMetrics;
  readonly log: Logger;
  readonly snapshots: PeerSnapshots;
  /** Undefined without a certificate. */
  readonly tls: TlsPair | undefined;
  readonly onFatal: (error: FatalError) => void;
  readonly onUnexpected: (error: unknown) => void;
}

/** What stands behind the peers; known only after them, as the replica sends through them. */
export interface PeersSubject {
  readonly replica: Replica;
  readonly member: MemberPort;
}

export class Peers {
  readonly transport: Transport;
  readonly calls: PeerCalls;
  readonly #options: PeersOptions;
  #replica: Replica | undefined;
  #server: PeerServer | undefined;
  readonly #secureListeners: Server[] = [];

  constructor(options: PeersOptions) {
    const { config, contents, metrics, log, snapshots } = options;
    this.#options = options;
    this.transport = new Transport({
      local: {
        nodeId: contents.nodeId,
        clusterId: contents.clusterId,
        peerUrls: () =>
          this.#replica?.members.get(contents.nodeId)?.peerUrls ?? config.initialAdvertisePeerUrls,
      },
      raft: {
        receive: (message) => this.#replica?.receive(message),
        receiveUnproven: (message) => {
          if (message.type === "MsgSnap") this.#replica?.receiveSnapshot(message, snapshots.take(message));
          else this.#replica?.receiveUnproven(message);
        },
        isRemoved: (id) => this.#replica?.members.isRemoved(id) ?? false,
        reportUnreachable: (id) => this.#replica?.reportUnreachable(id),
        reportGone: (id) => this.#replica?.reportGone(id),
        reportSnapshot: (id, ok) => this.#replica?.reportSnapshot(id, ok),
        onRemoved: () => options.onFatal(removedError(contents)),
      },
      snapshots,
      clock: realClock,
      logger: log,
      metrics,
      connect: connectWith(options.tls?.client),
      limits: { readTimeoutMs: config.raftReadTimeoutMs, writeTimeoutMs: config.raftWriteTimeoutMs },
    });
    this.calls = new PeerCalls(this.transport.settings);
  }

  /** Opens the peer listeners, or none: rejects with the first address that cannot be bound. */
  async listen({ replica, member }: PeersSubject): Promise<void> {
    const { config, log, onUnexpected } = this.#options;
    this.#replica = replica;
    const server = new PeerServer({ transport: this.transport, member, onUnexpected });
    this.#server = server;
    for (const url of config.listenPeerUrls) {
      const port = await this.#bind(server, url);
      log.info("serving peer traffic", { address: url.port === 0 ? url.host : `${url.host}:${port}` });
    }
  }

  async #bind(server: PeerServer, url: EndpointUrl): Promise<number> {
    try {
      return hasTls(url) ? await this.#bindSecure(server, url) : await server.listen(addressOf(url));
    } catch (error) {
      throw listenError(url, error);
    }
  }

  async #bindSecure(server: PeerServer, url: EndpointUrl): Promise<number> {
    const { tls, log } = this.#options;
    if (tls === undefined) {
      throw new Error(`cannot listen on TLS for ${url.text}: KeyFile and CertFile are not presented`);
    }
    const listener = createTlsServer({
      credentials: tls.server,
      protocols: ["http/1.1"],
      log,
      onConnection: (socket) => server.serve(socket),
    });
    this.#secureListeners.push(listener);
    await new Promise<void>((resolve, reject) => {
      listener.once("error", reject);
      listener.listen(addressOf(url), () => {
        listener.off("error", reject);
        resolve();
      });
    });
    const bound = listener.address();
    return typeof bound === "object" && bound !== null ? bound.port : 0;
  }

  /** Closes every connection. The replica is stopped before: what it still sends is lost. */
  async stop(): Promise<void> {
    for (const listener of this.#secureListeners) listener.close();
    this.transport.stop();
    await this.#server?.stop();
  }
}

export function removedError({ nodeId, clusterId }: Pick<LogContents, "nodeId" | "clusterId">): FatalError {
  return new FatalError(
    "REMOVED",
    `the member has been permanently removed from the cluster: member ${hexId(nodeId)} of cluster ${hexId(clusterId)}`,
  );
}
