// etcd_network_*: what the peer adapter reports, one child a peer.

import { hexId, type NodeId } from "../lib/ids.ts";
import type { PeerMetrics } from "../peer/port.ts";
import type { Makers } from "./families.ts";
import { BucketedValue, CountedValue, doubling, histogramFamily, type Labels } from "./instruments.ts";

type LabelName = "To" | "From" | "Remote";

/** Beyond, peers count together: a sender can call itself anything. */
const peersMax = 64;
const others = "others";

/** Instruments by peer, made when a peer first shows. */
class ByPeer<T> {
  readonly #children = new Map<string, readonly [Labels, T]>();
  readonly #labelsOf: (peer: string) => Labels;
  readonly #create: () => T;

  constructor(labelsOf: (peer: string) => Labels, create: () => T) {
    this.#labelsOf = labelsOf;
    this.#create = create;
  }

  of(peer: string): T {
    const known = this.#children.get(peer);
    if (known !== undefined) return known[1];
    if (this.#children.size >= peersMax && peer !== others) return this.of(others);
    const created = this.#create();
    this.#children.set(peer, [this.#labelsOf(peer), created]);
    return created;
  }

  values(): Iterable<readonly [Labels, T]> {
    return this.#children.values();
  }
}

/** Call once, when the member knows its id. */
export function peerMetrics({ families }: Pick<Makers, "families">, local: NodeId): PeerMetrics {
  const localId = hexId(local);
  const labelsBy =
    (label: LabelName) =>
    (peer: string): Labels =>
      label === "Remote" ? { Local: localId, Remote: peer } : { [label]: peer };
  const counted = (
    name: string,
    help: string,
    label: LabelName,
    type: "counter" | "gauge" = "counter",
  ): ByPeer<CountedValue> => {
    const children = new ByPeer(labelsBy(label), () => new CountedValue());
    const samples = () => [...children.values()].map(([labels, { value }]) => ({ labels, value }));
    families.push({ name: `etcd_network_${name}`, help, type, samples });
    return children;
  };
  const timed = (
    name: string,
    help: string,
    label: LabelName,
    bounds: readonly number[],
  ): ByPeer<BucketedValue> => {
    const children = new ByPeer(labelsBy(label), () => new BucketedValue(bounds));
    families.push(histogramFamily(`etcd_network_${name}`, help, () => children.values()));
    return children;
  };
  const snapshots = (kind: "send" | "receive", label: "To" | "From") => ({
    underWay: counted(`snapshot_${kind}_inflights_total`, "Snapshots under way.", label, "gauge"),
    successes: counted(`snapshot_${kind}_success`, "Snapshots that arrived.", label),
    failures: counted(`snapshot_${kind}_failures`, "Snapshots that failed.", label),
    seconds: timed(
      `snapshot_${kind}_total_duration_seconds`,
      "Time of a snapshot.",
      label,
      doubling(0.1, 10),
    ),
  });
  const end = (of: ReturnType<typeof snapshots>, peer: string, seconds: number | undefined): void => {
    if (seconds === undefined) {
      of.failures.of(peer).increment();
      return;
    }
    of.successes.of(peer).increment();
    of.seconds.of(peer).observe(seconds);
  };

  const active = counted("active_peers", "Peers within reach.", "Remote", "gauge");
  const disconnected = counted("disconnected_peers_total", "Losses of a peer.", "Remote");
  const sentBytes = counted("peer_sent_bytes_total", "Bytes sent to peers.", "To");
  const receivedBytes = counted("peer_received_bytes_total", "Bytes received from peers.", "From");
  const sentFailures = counted("peer_sent_failures_total", "Failures to send to peers.", "To");
  const receivedFailures = counted("peer_received_failures_total", "Failures to receive from peers.", "From");
  const roundTrips = timed(
    "peer_round_trip_time_seconds",
    "Round trips to peers.",
    "To",
    doubling(0.0001, 16),
  );
  const sends = snapshots("send", "To");
  const receives = snapshots("receive", "From");
  return {
    sentBytes: (to, bytes) => sentBytes.of(to).increment(bytes),
    receivedBytes: (from, bytes) => receivedBytes.of(from).increment(bytes),
    sentFailure: (to) => sentFailures.of(to).increment(),
    receivedFailure: (from) => receivedFailures.of(from).increment(),
    active(remote, isActive) {
      active.of(remote).increment(isActive ? 1 : -1);
      if (!isActive) disconnected.of(remote).increment();
    },
    roundTripSeconds: (to, seconds) => roundTrips.of(to).observe(seconds),
    snapshotSendStarted: (to) => sends.underWay.of(to).increment(),
    snapshotSendEnded(to, seconds) {
      sends.underWay.of(to).increment(-1);
      end(sends, to, seconds);
    },
    snapshotReceiveRefused: (from) => receives.failures.of(from).increment(),
    snapshotReceiveStarted: (from) => receives.underWay.of(from).increment(),
    snapshotReceiveEnded(from, seconds) {
      receives.underWay.of(from).increment(-1);
      end(receives, from, seconds);
    },
  };
}
