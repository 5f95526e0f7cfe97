import assert from "node:assert/strict";
import { test } from "node:test";
import { Keepalive } from "./keepalive.ts";
import { PingPolicy } from "./ping-policy.ts";
import { TokenBucket } from "./token-bucket.ts";

const options = { intervalMs: 60_000, timeoutMs: 20_000, minIntervalMs: 5000 };
const quiet = { isHandshakeOpen: false, isFrameOpen: false, isStalled: false };

test("a handshake that does not end is cut off", () => {
  const keepalive = new Keepalive(options, 0);
  keepalive.onBytes();
  assert.equal(keepalive.sweep(10_000, { ...quiet, isHandshakeOpen: true }), "fine");
  keepalive.onBytes();
  assert.equal(keepalive.sweep(10_001, { ...quiet, isHandshakeOpen: true }), "slow");
});

test("a frame or header block that comes byte by byte is cut off", () => {
  const keepalive = new Keepalive(options, 0);
  keepalive.onFrameBegins(5000);
  for (let ms = 6000; ms <= 35_000; ms += 1000) {
    keepalive.onBytes();
    assert.equal(keepalive.sweep(ms, { ...quiet, isFrameOpen: true }), "fine");
  }
  assert.equal(keepalive.sweep(35_001, { ...quiet, isFrameOpen: true }), "slow");
});

test("a client that takes nothing for a minute is gone", () => {
  const keepalive = new Keepalive(options, 0);
  keepalive.onCongested(1000);
  assert.equal(keepalive.sweep(61_000, { ...quiet, isStalled: true }), "fine");
  assert.equal(keepalive.sweep(61_001, { ...quiet, isStalled: true }), "gone");
});

test("a silent connection is pinged, and gone when it stays silent", () => {
  const keepalive = new Keepalive(options, 0);
  assert.equal(keepalive.sweep(59_999, quiet), "fine");
  assert.equal(keepalive.sweep(60_000, quiet), "ping");
  keepalive.onBytes();
  assert.equal(keepalive.sweep(61_000, quiet), "fine");
  assert.equal(keepalive.sweep(121_000, quiet), "ping");
  assert.equal(keepalive.sweep(141_000, quiet), "fine");
  assert.equal(keepalive.sweep(141_001, quiet), "gone");
});

test("without an interval no connection is pinged", () => {
  const keepalive = new Keepalive({ ...options, intervalMs: 0 }, 0);
  assert.equal(keepalive.sweep(1e9, quiet), "fine");
});

test("the fourth ping too many ends a connection, unless something was sent in between", () => {
  const policy = new PingPolicy(5000);
  assert.ok(policy.onPing(0, true));
  for (const ms of [1000, 2000]) assert.ok(policy.onPing(ms, true));
  policy.onSent();
  for (const ms of [3000, 4000, 5000]) assert.ok(policy.onPing(ms, true));
  assert.equal(policy.onPing(6000, true), false);
});

test("pings at the allowed pace are always welcome with calls, and too early without", () => {
  const policy = new PingPolicy(5000);
  for (let i = 0; i < 100; i++) assert.ok(policy.onPing(i * 5000, true));
  const idle = new PingPolicy(5000);
  assert.deepEqual(
    Array.from({ length: 4 }, (_, i) => idle.onPing(i * 60_000, false)),
    [true, true, true, false],
  );
});

test("a bucket gives its burst and then its rate, never more than the burst", () => {
  const bucket = new TokenBucket({ burst: 3, perSecond: 2 }, 0);
  const takes = (nowMs: number, count: number) => Array.from({ length: count }, () => bucket.take(nowMs));
  assert.deepEqual(takes(0, 4), [true, true, true, false]);
  assert.deepEqual(takes(1000, 3), [true, true, false]);
  assert.deepEqual(takes(1e9, 4), [true, true, true, false]);
});
