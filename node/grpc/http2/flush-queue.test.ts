import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { type Flushable, FlushQueue } from "./flush-queue.ts";

/** A connection that notes how many bytes each of its writes took. */
class FakeConnection implements Flushable {
  readonly writes: number[] = [];
  readonly #queue: FlushQueue;
  #isDue = false;
  waitingBytes = 0;

  constructor(queue: FlushQueue) {
    this.#queue = queue;
  }

  send(bytes: number): void {
    this.waitingBytes += bytes;
    if (this.#isDue) return;
    this.#isDue = true;
    this.#queue.add(this);
  }

  flush(): void {
    this.#isDue = false;
    this.writes.push(this.waitingBytes);
    this.waitingBytes = 0;
  }
}

test("a connection writes once a turn, and early when much waits and another one's answers begin", async () => {
  const queue = new FlushQueue();
  const [a, b, c] = [new FakeConnection(queue), new FakeConnection(queue), new FakeConnection(queue)];
  for (let i = 0; i < 20; i++) a.send(50);
  assert.deepEqual(a.writes, []);
  b.send(50);
  assert.deepEqual(a.writes, [1000]);
  c.send(50);
  assert.deepEqual(b.writes, [], "a single answer waits for the end of the turn");
  for (let i = 0; i < 20; i++) c.send(50);
  a.send(50);
  assert.deepEqual(c.writes, [1050]);
  a.send(50);
  await delay(0);
  assert.deepEqual([a.writes, b.writes, c.writes], [[1000, 100], [50], [1050]]);
  a.send(10);
  await delay(0);
  assert.deepEqual(a.writes, [1000, 100, 10]);
});
