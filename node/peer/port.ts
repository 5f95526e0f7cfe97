// What the peer adapter asks of the member it stands before, and what it reports. The composition connects these to
// the replica, the membership and the snapshots; tests connect them to recorders.

import type { LeaseId, NodeId } from "../lib/ids.ts";
import type { Message } from "../wire/raft.ts";

export interface LocalMember {
  readonly nodeId: NodeId;
  readonly clusterId: bigint;
  /** The advertised peer URLs as they stand now. */
  peerUrls(): readonly string[];
}

export interface RaftPort {
  /**
   * A message from another member, addressed to this one and sound in form, on a stream that this member opened to the
   * sender's address. What it throws ends the process.
   */
  receive(message: Message): void;
  /** The same in a request. Without certificates its sender may be anybody who can reach the peer port. */
  receiveUnproven(message: Message): void;
  isRemoved(id: NodeId): boolean;
  /** Messages to this peer were lost. Never called from within `send`. */
  reportUnreachable(id: NodeId): void;
  /** The peer's process has ended: streams to it stood, and now its address refuses connections. May be called again. */
  reportGone(id: NodeId): void;
  /** What became of a MsgSnap: once for each. Never called from within `send`. */
  reportSnapshot(id: NodeId, ok: boolean): void;
  /** A peer says that this member was removed from the cluster. May be called again. */
  onRemoved(): void;
}

/** A store on its way to a member that is too far behind. */
export interface OutgoingSnapshot {
  /** The MsgSnap with the index that the bytes stand at and a non-empty membership document as data. */
  readonly message: Message;
  /** The size of the whole file. */
  readonly fileBytes: number;
  /** The store as etcd's bbolt file. */
  readonly bytes: AsyncIterable<Uint8Array>;
  /** Always called once, however it ended, and perhaps while the next bytes are awaited. */
  close(): void;
}

/** Where a received store goes. Exactly one of `finish` and `abort` is called. */
export interface IncomingSnapshot {
  /** Spools; the bytes belong to the callee. */
  write(bytes: Uint8Array): Promise<void>;
  /**
   * All bytes are there, and they are the sender's when it gave a digest. Resolves when they can be installed; when it
   * rejects, the port has cleaned up.
   */
  finish(): Promise<void>;
  abort(): void;
}

export interface SnapshotPort {
  open(message: Message): Promise<OutgoingSnapshot>;
  /** `fileBytes`: what the sender announced; a real member announces nothing. Rejects when there is no room for it. */
  begin(message: Message, fileBytes: number | undefined): Promise<IncomingSnapshot>;
}

export type PromoteAnswer =
  | { readonly ok: true; readonly membersJson: string }
  | { readonly ok: false; readonly reason: "notFound" | "notLearner" | "notReady" }
  | { readonly ok: false; readonly reason: "other"; readonly text: string };

export type HashKvAnswer =
  | {
      readonly ok: true;
      readonly currentRevision: number;
      readonly hash: number;
      readonly compactRevision: number;
      readonly hashRevision: number;
    }
  | { readonly ok: false; readonly reason: "compacted" | "futureRevision" };

export type LeaseRefusal = "notFound" | "applyTimeout" | "notPrimary";

export type RenewAnswer =
  | { readonly ok: true; readonly ttlSeconds: number }
  | { readonly ok: false; readonly reason: LeaseRefusal };

export type TimeToLiveAnswer =
  | {
      readonly ok: true;
      readonly ttlSeconds: number;
      readonly grantedTtlSeconds: number;
      readonly keys: readonly Uint8Array[];
    }
  | { readonly ok: false; readonly reason: LeaseRefusal };

export type DowngradeAnswer =
  | { readonly ok: true; readonly isEnabled: boolean }
  | { readonly ok: false; readonly text: string };

/** What other members ask this one beside Raft. */
export interface MemberPort {
  /** Undefined until the cluster decided it. */
  clusterVersion(): string | undefined;
  /** The layout of the store, "3.6.0". */
  storageVersion(): string;
  /** etcd's JSON of the members, a list. */
  membersJson(): string;
  promote(id: NodeId, authorization: string | undefined): Promise<PromoteAnswer>;
  hashKv(revision: number): Promise<HashKvAnswer>;
  renewLease(id: LeaseId): Promise<RenewAnswer>;
  leaseTimeToLive(id: LeaseId, withKeys: boolean): Promise<TimeToLiveAnswer>;
  isDowngradeEnabled(): Promise<DowngradeAnswer>;
}

/** etcd_network_*: the names of the calls follow the metrics. Peers are named by their hex ids. */
export interface PeerMetrics {
  sentBytes(to: string, bytes: number): void;
  receivedBytes(from: string, bytes: number): void;
  sentFailure(to: string): void;
  receivedFailure(from: string): void;
  /** The peer's connection came (true) or went. */
  active(remote: string, isActive: boolean): void;
  roundTripSeconds(to: string, seconds: number): void;
  snapshotSendStarted(to: string): void;
  /** Undefined seconds: it failed. */
  snapshotSendEnded(to: string, seconds: number | undefined): void;
  /** Refused before it began. */
  snapshotReceiveRefused(from: string): void;
  snapshotReceiveStarted(from: string): void;
  snapshotReceiveEnded(from: string, seconds: number | undefined): void;
}

export const silentPeerMetrics: PeerMetrics = {
  sentBytes() {},
  receivedBytes() {},
  sentFailure() {},
  receivedFailure() {},
  active() {},
  roundTripSeconds() {},
  snapshotSendStarted() {},
  snapshotSendEnded() {},
  snapshotReceiveRefused() {},
  snapshotReceiveStarted() {},
  snapshotReceiveEnded() {},
};
