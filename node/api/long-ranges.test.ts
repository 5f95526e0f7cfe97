import assert from "node:assert/strict";
import { test } from "node:test";
import { noLease } from "../lib/ids.ts";
import { Overlay } from "../mvcc/overlay.ts";
import { Store } from "../mvcc/store.ts";
import { MemoryEngine } from "../storage/memory/engine.ts";
import { codecs } from "../wire/codecs.ts";
import type { RangeRequest, RangeResponse } from "../wire/rpc.ts";
import { AnswerMemory } from "./answer-memory.ts";
import { ApiError } from "./errors.ts";
import { KvService } from "./kv-service.ts";
import { FakeCall, memberApiOf, TurnClock } from "./testing/member.ts";

const keyCount = 3500;
const valueBytes = 100;
const prefix = Uint8Array.of(0x6b);
const behindPrefix = Uint8Array.of(0x6c);

interface Asked {
  readonly outcome: { response?: RangeResponse; error?: unknown };
  /** What the answer holds is free. */
  release(): void;
  cancel(): void;
}

class Rig {
  readonly store = new Store(new Overlay(new MemoryEngine()));
  readonly answers: AnswerMemory;
  readonly clock = new TurnClock();
  readonly #service: KvService;

  constructor(answerBytesMax = 1 << 30) {
    for (let i = 0; i < keyCount; i++) this.put(`k${String(i).padStart(6, "0")}`);
    const replica = {
      applier: { alarms: { has: () => false } },
      store: this.store,
      clusterId: 1n,
      nodeId: 2n,
      term: 3,
    };
    this.answers = new AnswerMemory(answerBytesMax);
    this.#service = new KvService(memberApiOf(replica, this.clock), this.answers, () => {});
  }

  put(key: string): void {
    const txn = this.store.beginWrite();
    txn.put({ key: Buffer.from(key), value: new Uint8Array(valueBytes), lease: noLease });
    txn.end();
  }

  /** Asks for all keys. */
  ask(fields: Partial<RangeRequest> = {}): Asked {
    const request = codecs.RangeRequest.create({
      key: prefix,
      rangeEnd: behindPrefix,
      serializable: true,
      ...fields,
    });
    const outcome: Asked["outcome"] = {};
    let release: (() => void) | undefined;
    const call = new FakeCall();
    this.#service.range(request, call, {
      succeed: (response, free) => {
        outcome.response = codecs.RangeResponse.decode(codecs.RangeResponse.encode(response as never));
        release = free;
      },
      fail: (error) => {
        outcome.error = error;
      },
    });
    return { outcome, release: () => release?.(), cancel: () => call.cancel() };
  }

  /** What is kept for a while is kept no longer. */
  expire(): void {
    for (const { fn } of this.clock.timers) fn();
    this.clock.timers.clear();
  }
}

function expectAll({ outcome }: Asked, revision: number): void {
  assert.equal(outcome.error, undefined);
  assert.equal(outcome.response?.count, keyCount);
  assert.equal(outcome.response?.kvs.length, keyCount);
  assert.equal(outcome.response?.header?.revision, revision);
}

test("equal ranges at once are read and held once, and what is free again is gone", async () => {
  const rig = new Rig();
  const revision = rig.store.currentRevision;
  const asked = [rig.ask(), rig.ask(), rig.ask()];
  await rig.clock.turn();
  asked.push(rig.ask({ revision }));
  // One reading of four slices, the first of them at once.
  assert.ok((await rig.clock.settle()) <= 3);
  for (const one of asked) expectAll(one, revision);
  const { bytes } = rig.answers;
  assert.ok(bytes > keyCount * valueBytes && bytes < 3 * keyCount * valueBytes, `${bytes} bytes`);
  // As long as one of them is under way it is given to others too, at once.
  for (const one of asked.slice(1)) one.release();
  const late = rig.ask();
  expectAll(late, revision);
  late.release();
  late.release();
  assert.equal(rig.answers.bytes, bytes);
  asked[0]?.release();
  assert.equal(rig.answers.bytes, 0);
  // The last one is kept until its time is over.
  const soon = rig.ask();
  expectAll(soon, revision);
  assert.equal(rig.answers.bytes, bytes);
  soon.release();
  assert.equal(rig.clock.timers.size, 1);
  rig.expire();
  const anew = rig.ask();
  assert.equal(anew.outcome.response, undefined);
  await rig.clock.settle();
  expectAll(anew, revision);
  anew.release();
  assert.equal(rig.answers.bytes, 0);
  assert.equal(rig.store.pinCount, 0);
});

test("another revision or another request is read for itself", async () => {
  const rig = new Rig();
  const revision = rig.store.currentRevision;
  const first = rig.ask();
  rig.put("k000000");
  const newer = rig.ask();
  const older = rig.ask({ revision });
  const keysOnly = rig.ask({ keysOnly: true });
  const limited = rig.ask({ limit: 2000 });
  await rig.clock.settle();
  expectAll(first, revision);
  expectAll(newer, revision + 1);
  expectAll(older, revision + 1);
  const modRevision = ({ outcome }: Asked) => outcome.response?.kvs[0]?.modRevision;
  assert.equal(modRevision(first), 2);
  assert.equal(modRevision(newer), revision + 1);
  assert.equal(modRevision(older), 2);
  assert.equal(keysOnly.outcome.response?.kvs[0]?.value.length, 0);
  assert.equal(limited.outcome.response?.kvs.length, 2000);
  assert.ok(limited.outcome.response.more);
  for (const one of [first, newer, older, keysOnly, limited]) one.release();
  assert.equal(rig.answers.bytes, 0);
  assert.equal(rig.store.pinCount, 0);
});

test("a reading goes on while somebody waits, and ends with the last who goes away", async () => {
  const rig = new Rig();
  const [one, two] = [rig.ask(), rig.ask()];
  one.cancel();
  await rig.clock.settle();
  assert.equal(one.outcome.response, undefined);
  expectAll(two, rig.store.currentRevision);
  two.release();
  rig.expire();

  const [three, four] = [rig.ask(), rig.ask()];
  await rig.clock.turn();
  three.cancel();
  four.cancel();
  assert.equal(rig.answers.bytes, 0);
  assert.equal(rig.store.pinCount, 0);
  // Whoever comes now is not tied to what was given up.
  const five = rig.ask();
  await rig.clock.settle();
  expectAll(five, rig.store.currentRevision);
  assert.equal(four.outcome.response, undefined);
  five.release();
  assert.equal(rig.store.pinCount, 0);
});

test("all who wait are refused when there is no room", async () => {
  const rig = new Rig(keyCount * valueBytes);
  const alone = rig.ask();
  await rig.clock.settle();
  const refused = [rig.ask({ limit: 3000 }), rig.ask({ limit: 3000 })];
  await rig.clock.settle();
  for (const { outcome } of refused) {
    assert.ok(outcome.error instanceof ApiError && outcome.error.code === "ResourceExhausted");
  }
  expectAll(alone, rig.store.currentRevision);
  alone.release();
  assert.equal(rig.answers.bytes, 0);
  assert.equal(rig.store.pinCount, 0);
});
