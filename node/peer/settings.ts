// What all parts of the adapter share: the ports, the limits and the dialer.

import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/log.ts";
import type { Dialer } from "./dialer.ts";
import type { LocalMember, PeerMetrics, RaftPort, SnapshotPort } from "./port.ts";

export interface PeerLimits {
  /** --raft-read-timeout: a stream without a byte for so long is dead. */
  readonly readTimeoutMs: number;
  /** --raft-write-timeout: a peer that takes none of what was written for so long is dead. */
  readonly writeTimeoutMs: number;
  readonly dialTimeoutMs: number;
  /** Between attempts to open a stream; doubles up to the maximum while they fail. */
  readonly retryMs: number;
  readonly retryMsMax: number;
  readonly probeIntervalMs: number;
  /** Of one message, in either direction of a stream and in a request. */
  readonly messageBytesMax: number;
  /** Messages that wait for one stream. */
  readonly queueMessagesMax: number;
  readonly queueBytesMax: number;
  /** Messages that wait for a connection of their own. */
  readonly pipelineQueueMax: number;
  readonly pipelineConnectionsMax: number;
  /** Of the message before the store in a snapshot. */
  readonly snapshotMessageBytesMax: number;
  /** A snapshot that does not move for so long is given up. */
  readonly snapshotIdleMs: number;
  /** How long the receiver may take to make a store of what it received. */
  readonly snapshotAnswerMs: number;
  /** Senders this member was not told of yet, but answers at the URLs they name. */
  readonly remotesMax: number;
  /** Of the small requests that are not Raft's. */
  readonly requestBytesMax: number;
  /** Until the body of a request is there; stores take longer. */
  readonly bodyTimeoutMs: number;
  /** How long their answers may take. */
  readonly requestAnswerMs: number;
}

/** Numbers without a comment are etcd's. */
export const defaultLimits: PeerLimits = {
  readTimeoutMs: 5000,
  writeTimeoutMs: 5000,
  // A second and an election timeout.
  dialTimeoutMs: 2000,
  retryMs: 100,
  // A dead peer costs two dials a second; one that comes back is noticed sooner, since it dials itself.
  retryMsMax: 1000,
  probeIntervalMs: 4000,
  // etcd takes 512 MiB. A message is one batch of 1 MiB or one entry, which --max-request-bytes bounds.
  messageBytesMax: 64 * 1024 * 1024,
  queueMessagesMax: 4096,
  // They share the bytes of their entries with Raft's log, so this bounds little but what a dead peer pins.
  queueBytesMax: 256 * 1024 * 1024,
  pipelineQueueMax: 64,
  pipelineConnectionsMax: 4,
  snapshotMessageBytesMax: 64 * 1024 * 1024,
  snapshotIdleMs: 30_000,
  snapshotAnswerMs: 600_000,
  // Above any cluster's size.
  remotesMax: 16,
  requestBytesMax: 64 * 1024,
  // The largest message at 9 Mbit/s.
  bodyTimeoutMs: 60_000,
  // A hash of a large store takes its time; others are given up earlier by whoever asked.
  requestAnswerMs: 60_000,
};

export interface PeerSettings {
  readonly local: LocalMember;
  readonly raft: RaftPort;
  /** Undefined: a MsgSnap fails at once, and none is accepted. */
  readonly snapshots: SnapshotPort | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: PeerMetrics;
  readonly limits: PeerLimits;
  readonly dialer: Dialer;
}
