// Memory of long ranges, and what puts feel of them.
//
// How it is measured: from outside, by the kernel. A process's memory here is its anonymous memory (RssAnon): heap,
// array buffers, stacks. Pages of the data file that LMDB has mapped (RssFile) are page cache, which the kernel
// shares and takes back at will, and are printed only.
// RangeStream: V8 lets garbage grow to limits of its own before it collects, once in the life of a process, and keeps
// that room. So the stream is read until the process has its size; then the kernel's high-water mark of all resident
// memory begins anew (clear_refs), which misses no peak between samples, and one more stream may raise it by 16 MiB.
// Three are read, and the middle one counts. What the very first stream costs is printed.
// Range: the first one of the process, sampled every 5 ms, garbage and all.
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { FrameType, Setting } from "../../node/grpc/http2/protocol.ts";
import { message, RawClient, setting, uint32 } from "../../node/grpc/testing/raw-client.ts";
import { TestClient } from "../conformance/client.ts";
import { encode } from "../conformance/messages.ts";
import { type Member, start } from "../tools/member.ts";
import { fill, RawReader, wholeBulk } from "./support/bulk.ts";
import { nodePath, Running } from "./support/command.ts";
import { latencyText, putsDuring } from "./support/latency.ts";
import { inMebibytes, mebibyte, memoryOf, peakAnonymous, resetPeak } from "./support/memory.ts";

const keyCount = 200_000;
const valueBytes = 1024;
const streamBytesMax = 16 * mebibyte;
const rangeFactorMax = 2;
const warmUpStreams = 3;
const rangesCount = 64;
/** Above what answers may hold together, 512 MiB, by what V8 leaves uncollected; all 64 would take 13 GiB. */
const crowdBytesMax = 1024 * mebibyte;
/** Keys of each of the ranges that are equal; answers of their own would take 1.3 GiB together. */
const equalLimit = 20_000;
const equalBytesMax = 256 * mebibyte;
/** As many as a connection may have waiting: 64 MiB of them. */
const stalledPerClient = 5;
const stalledCount = 10_000;
const stalledLimit = 10 * 1024;
/** A piece of its own for each of them would take 1.2 GiB. */
const stalledBytesMax = 256 * mebibyte;
const resourceExhausted = 8;

test("long ranges stay within their memory, and puts go on", async (t) => {
  const member = await start({ kind: "etcdlike" });
  t.after(() => member.stop());
  const client = new TestClient(member.endpoint);
  t.after(() => client.close());
  await fill(client, keyCount, valueBytes);
  await settle(client);

  await t.test("RangeStream over 200,000 keys of 1 KiB raises memory by at most 16 MiB", async (t) => {
    const first = await anonymousRise(member, "stream");
    t.diagnostic(
      `first stream of the process: ${inMebibytes(first.bytes)}, memory +${inMebibytes(first.rise)}`,
    );
    for (let i = 1; i < warmUpStreams; i++) await read(member, "stream");
    const rises: number[] = [];
    for (let i = 0; i < 3; i++) {
      await delay(500);
      await resetPeak(member.pid);
      const before = await memoryOf(member.pid);
      const bytes = await read(member, "stream");
      assert.ok(bytes > keyCount * valueBytes, `${bytes} bytes are all keys`);
      const after = await memoryOf(member.pid);
      rises.push(after.peakRss - before.rss);
      if (i === 0) t.diagnostic(`mapped pages of files: ${inMebibytes(after.file)}`);
    }
    t.diagnostic(`further streams: ${rises.map((rise) => `+${inMebibytes(rise)}`).join(", ")}`);
    const middle = rises.sort((a, b) => a - b)[1] ?? Number.NaN;
    assert.ok(middle <= streamBytesMax, `${inMebibytes(middle)}`);
  });

  await t.test("a unary Range raises memory by at most twice its answer", async (t) => {
    const { bytes, rise } = await anonymousRise(member, "range");
    assert.ok(bytes > keyCount * valueBytes, `${bytes} bytes are all keys`);
    t.diagnostic(`${inMebibytes(bytes)}, memory +${inMebibytes(rise)}: ${(rise / bytes).toFixed(2)} times`);
    assert.ok(rise <= rangeFactorMax * bytes, `${rise / bytes} times`);
  });

  await t.test("64 equal ranges at once are all answered with one reading", async (t) => {
    const before = await memoryOf(member.pid);
    const { served, peak } = await rangesAtOnce(member, () => equalLimit);
    const rise = peak - before.anonymous;
    t.diagnostic(`${inMebibytes(equalLimit * valueBytes)} each; memory +${inMebibytes(rise)}`);
    assert.equal(served, rangesCount);
    assert.ok(rise <= equalBytesMax, inMebibytes(rise));
  });

  await t.test(
    "10,000 equal ranges of 10 MiB that nobody reads to the end are one, and cost little",
    async (t) => {
      const before = await memoryOf(member.pid);
      const clients = await Promise.all(
        Array.from({ length: stalledCount / stalledPerClient }, () => RawClient.open(member.ports.client)),
      );
      const peak = await peakAnonymous(member.pid, stall(clients));
      const rise = peak - before.anonymous;
      t.diagnostic(`${stalledCount} ranges over ${clients.length} connections; memory +${inMebibytes(rise)}`);
      assert.ok(rise <= stalledBytesMax, inMebibytes(rise));
      assert.ok((await client.call("Put", { key: "beside", value: "x" })).ok);
      // What stopped goes on where somebody reads it.
      const [one, ...others] = clients as [RawClient, ...RawClient[]];
      for (const other of others) other.close();
      one.frame(FrameType.settings, 0, 0, setting(Setting.initialWindowSize, 0x7fff_ffff));
      one.frame(FrameType.windowUpdate, 0, 0, uint32(0x7000_0000));
      for (let i = 0; i < stalledPerClient; i++) {
        const { fields, body } = await one.answer(2 * i + 1);
        assert.equal(fields["grpc-status"], "0");
        assert.ok(body.length > stalledLimit * valueBytes);
      }
      one.close();
    },
  );

  await t.test("O3: 64 ranges over everything at once are shed, and the member goes on", async (t) => {
    const before = await memoryOf(member.pid);
    const { served, refused, peak } = await rangesAtOnce(member, (i) => keyCount - i);
    const rise = peak - before.anonymous;
    t.diagnostic(`${served} served, ${refused} refused; memory +${inMebibytes(rise)}`);
    assert.equal(served + refused, rangesCount);
    assert.ok(served > 0 && refused > 0);
    assert.ok(rise <= crowdBytesMax, inMebibytes(rise));
    // Everything that they held is free again.
    assert.ok((await read(member, "range")) > keyCount * valueBytes);
    assert.ok((await client.call("Put", { key: "after", value: "x" })).ok);
  });

  await t.test("puts are answered while long ranges are read", async (t) => {
    for (const [what, during] of [
      ["alone", () => delay(2000)],
      ["during RangeStream", () => read(member, "stream")],
      ["during Range", () => read(member, "range")],
    ] as const) {
      const latencies = await putsDuring(client, during());
      assert.ok(latencies.count > 0);
      t.diagnostic(`${what}: ${latencyText(latencies)}`);
    }
  });
});

/** Begins the ranges, and waits until each is under way: what the first windows let out of it has come. */
async function stall(clients: readonly RawClient[]): Promise<void> {
  const request = message(encode("RangeRequest", { ...wholeBulk, limit: stalledLimit }));
  for (const raw of clients) {
    for (let i = 0; i < stalledPerClient; i++) {
      raw.headers(2 * i + 1, "/etcdserverpb.KV/Range");
      raw.data(2 * i + 1, request);
    }
  }
  const bodyBytes = ({ frames }: RawClient): number =>
    frames.reduce((sum, { type, payload }) => sum + (type === FrameType.data ? payload.length : 0), 0);
  const isOver = (raw: RawClient): boolean =>
    raw.isClosed ||
    raw.frames.some(({ streamId, flags, type }) => streamId > 0 && type === 1 && (flags & 1) !== 0);
  await Promise.all(clients.map((raw) => raw.until(() => isOver(raw) || bodyBytes(raw) === 65_535)));
  assert.equal(clients.filter(isOver).length, 0, "none is refused");
}

async function read(member: Member, how: "stream" | "range"): Promise<number> {
  const script = join(import.meta.dirname, "support", "read-range.ts");
  const { code, stdout, stderr } = await new Running([nodePath, script, member.endpoint, how], {
    timeoutMs: 120_000,
  }).finished;
  assert.equal(code, 0, stderr);
  return Number(stdout);
}

/** All of them begin at once, each on a connection of its own and with a limit of its own. */
async function rangesAtOnce(member: Member, limitOf: (i: number) => number) {
  const readers = Array.from({ length: rangesCount }, () => new RawReader(member.endpoint));
  const ranges = Promise.allSettled(readers.map((reader, i) => reader.range({ limit: limitOf(i) })));
  const peak = await peakAnonymous(member.pid, ranges);
  const outcomes = await ranges;
  for (const reader of readers) reader.close();
  const refused = outcomes.filter((outcome) => outcome.status === "rejected");
  for (const { reason } of refused) assert.equal(reason.code, resourceExhausted, String(reason));
  return { served: rangesCount - refused.length, refused: refused.length, peak };
}

async function anonymousRise(member: Member, how: "stream" | "range") {
  const before = await memoryOf(member.pid);
  const reading = read(member, how);
  const peak = await peakAnonymous(member.pid, reading);
  return { bytes: await reading, rise: peak - before.anonymous };
}

/** Everything that was written is in the store: two flush intervals, and an answer after them. */
async function settle(client: TestClient): Promise<void> {
  await delay(2000);
  assert.ok((await client.call("Range", { key: "none" })).ok);
}
