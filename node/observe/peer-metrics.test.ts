import assert from "node:assert/strict";
import { test } from "node:test";
import { nodeId } from "../lib/ids.ts";
import type { Family } from "./instruments.ts";
import { peerMetrics } from "./peer-metrics.ts";

test("what peers do shows under etcd's names and labels", () => {
  const families: Family[] = [];
  const metrics = peerMetrics({ families }, nodeId(0xa1));
  const samplesOf = (name: string) => {
    const family = families.find((one) => one.name === `etcd_network_${name}`);
    return family?.samples().map(({ labels, value }) => [labels, value]);
  };
  metrics.active("b2", true);
  metrics.active("c3", true);
  metrics.active("c3", false);
  assert.deepEqual(samplesOf("active_peers"), [
    [{ Local: "a1", Remote: "b2" }, 1],
    [{ Local: "a1", Remote: "c3" }, 0],
  ]);
  assert.deepEqual(samplesOf("disconnected_peers_total"), [[{ Local: "a1", Remote: "c3" }, 1]]);
  metrics.sentBytes("b2", 10);
  metrics.sentBytes("b2", 5);
  metrics.receivedBytes("b2", 7);
  assert.deepEqual(samplesOf("peer_sent_bytes_total"), [[{ To: "b2" }, 15]]);
  assert.deepEqual(samplesOf("peer_received_bytes_total"), [[{ From: "b2" }, 7]]);
  metrics.roundTripSeconds("b2", 0.0003);
  assert.deepEqual(samplesOf("peer_round_trip_time_seconds")?.slice(0, 3), [
    [{ To: "b2", le: "0.0001" }, 0],
    [{ To: "b2", le: "0.0002" }, 0],
    [{ To: "b2", le: "0.0004" }, 1],
  ]);
  metrics.snapshotSendStarted("b2");
  assert.deepEqual(samplesOf("snapshot_send_inflights_total"), [[{ To: "b2" }, 1]]);
  metrics.snapshotSendEnded("b2", 1.5);
  metrics.snapshotReceiveRefused("b2");
  assert.deepEqual(samplesOf("snapshot_send_inflights_total"), [[{ To: "b2" }, 0]]);
  assert.deepEqual(samplesOf("snapshot_send_success"), [[{ To: "b2" }, 1]]);
  assert.deepEqual(samplesOf("snapshot_receive_failures"), [[{ From: "b2" }, 1]]);
  assert.deepEqual(samplesOf("snapshot_receive_inflights_total"), []);
});

test("senders that make up names do not fill the memory", () => {
  const families: Family[] = [];
  const metrics = peerMetrics({ families }, nodeId(1));
  for (let i = 0; i < 1000; i++) metrics.receivedFailure(`10.0.${i >> 8}.${i & 255}`);
  const failures = families.find(({ name }) => name === "etcd_network_peer_received_failures_total");
  const samples = failures?.samples() ?? [];
  assert.equal(samples.length, 65);
  assert.deepEqual(samples.at(-1), { labels: { From: "others" }, value: 936 });
});
