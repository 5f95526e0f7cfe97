// Peer: etcd 3.6's protocol between members. This class sends: it is the replica's network, and keeps connections to
// every other member. server.ts receives.
//
// Each member opens two streams to each other one and gets its messages there; what has no stream goes as a request
// of its own, and so do stores. Nothing here blocks: queues are bounded, and what they do not take is dropped and
// reported, since Raft repeats it. The folder knows sockets and HTTP, and Raft's messages only by their form; it must
// not know the log, the store or what an entry means. Tested over loopback sockets beside the files, against bytes of
// etcd's own encoders, and with a real etcd in test/e2e/peer.

import type { ServerResponse } from "node:http";
import { assert } from "../lib/assert.ts";
import type { Clock } from "../lib/clock.ts";
import { hexId, type NodeId, noNode } from "../lib/ids.ts";
import type { Logger } from "../lib/log.ts";
import type { Message } from "../wire/raft.ts";
import { type Connect, Dialer } from "./dialer.ts";
import { Peer } from "./peer.ts";
import { errorText } from "./peer-status.ts";
import type { LocalMember, PeerMetrics, RaftPort, SnapshotPort } from "./port.ts";
import { Remote } from "./remote.ts";
import { defaultLimits, type PeerLimits, type PeerSettings } from "./settings.ts";
import type { StreamKind } from "./stream-kind.ts";

export interface TransportOptions {
  readonly local: LocalMember;
  readonly raft: RaftPort;
  /** Undefined: a MsgSnap fails at once, and none is accepted. */
  readonly snapshots: SnapshotPort | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: PeerMetrics;
  readonly limits?: Partial<PeerLimits>;
  /** Opens connections in the place of plain TCP: where TLS comes in. */
  readonly connect?: Connect;
}

export class Transport {
  readonly settings: PeerSettings;
  readonly #peers = new Map<NodeId, Peer>();
  readonly #remotes = new Map<NodeId, Remote>();
  #isStopped = false;

  constructor({ connect, limits, ...ports }: TransportOptions) {
    const dialer = new Dialer(connect && { connect });
    this.settings = { ...ports, limits: { ...defaultLimits, ...limits }, dialer };
  }

  /** The replica's network. Messages to nobody, and to members that are not peers, are ignored. */
  send(messages: readonly Message[]): void {
    for (const message of messages) {
      if (message.to === noNode) continue;
      const peer = this.#peers.get(message.to) ?? this.#remotes.get(message.to);
      peer?.send(message);
    }
  }

  /** Begins to talk to a member. Nothing happens for one that is a peer. Throws for text that is no URL. */
  addPeer(id: NodeId, urls: readonly string[]): void {
    assert(!this.#isStopped, "peers are added to a running transport", { id });
    if (this.#peers.has(id)) return;
    const peer = new Peer(this.settings, id, urls);
    this.#remotes.get(id)?.stop();
    this.#remotes.delete(id);
    this.#peers.set(id, peer);
    peer.start();
    this.#log("added remote peer", id, { "remote-peer-urls": urls });
  }

  updatePeer(id: NodeId, urls: readonly string[]): void {
    const peer = this.#peers.get(id);
    if (peer === undefined) return;
    peer.update(urls);
    this.#log("updated remote peer", id, { "updated-remote-peer-urls": urls });
  }

  removePeer(id: NodeId): void {
    const peer = this.#peers.get(id);
    if (peer === undefined) return;
    peer.stop();
    this.#peers.delete(id);
    this.#log("removed remote peer", id);
  }

  /** Of the clock's time; undefined while the peer is out of reach or none. */
  activeSinceMs(id: NodeId): number | undefined {
    return this.#peers.get(id)?.activeSinceMs;
  }

  get activePeerCount(): number {
    let count = 0;
    for (const peer of this.#peers.values()) if (peer.activeSinceMs !== undefined) count++;
    return count;
  }

  /** Whether both streams stand in both directions. */
  isFullyConnected(id: NodeId): boolean {
    return this.#peers.get(id)?.isFullyConnected ?? false;
  }

  hasPeer(id: NodeId): boolean {
    return this.#peers.has(id);
  }

  /** A peer has opened a stream; its headers have been answered. */
  attach(id: NodeId, kind: StreamKind, response: ServerResponse): void {
    const peer = this.#peers.get(id);
    assert(peer !== undefined, "streams are opened by peers", { id });
    peer.attach(kind, response);
  }

  /** Somebody who claims to be a member sent something and named the URLs where it is reached. */
  addRemote(id: NodeId, urls: readonly string[]): void {
    const { limits, local, logger, raft } = this.settings;
    const isKnown = id === noNode || id === local.nodeId || this.#peers.has(id) || this.#remotes.has(id);
    if (this.#isStopped || isKnown || raft.isRemoved(id) || this.#remotes.size >= limits.remotesMax) return;
    try {
      this.#remotes.set(id, new Remote(this.settings, id, urls));
    } catch (error) {
      logger.warn("a sender names what is no URL", { "remote-peer-id": hexId(id), error: errorText(error) });
      return;
    }
    this.#log("added new remote peer", id, { "remote-peer-urls": urls });
  }

  /** Messages that streams take at once still leave; all connections to peers are closed. */
  stop(): void {
    this.#isStopped = true;
    for (const peer of [...this.#peers.values(), ...this.#remotes.values()]) peer.stop();
    this.#peers.clear();
    this.#remotes.clear();
    this.settings.dialer.close();
  }

  #log(text: string, id: NodeId, fields: Readonly<Record<string, unknown>> = {}): void {
    const { local, logger } = this.settings;
    logger.info(text, { "local-member-id": hexId(local.nodeId), "remote-peer-id": hexId(id), ...fields });
  }
}
