import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { Turn } from "./turn.ts";

const workerSource = `
  const { workerData } = require("node:worker_threads");
  const steps = new Int32Array(workerData.steps);
  import(workerData.module).then(({ Turn }) => {
    const turn = new Turn(workerData.memory);
    Atomics.wait(steps, 1, 0, 50);
    Atomics.store(steps, 0, 1);
    turn.giveBack();
  });
`;

test("the end waits until the worker has given the turn back, and nobody takes it after that", async () => {
  const turn = new Turn();
  const steps = new Int32Array(new SharedArrayBuffer(8));
  const worker = new Worker(workerSource, {
    eval: true,
    workerData: {
      module: new URL("./turn.ts", import.meta.url).href,
      memory: turn.memory,
      steps: steps.buffer,
    },
  });
  turn.end(20_000);
  assert.equal(Atomics.load(steps, 0), 1);
  assert.equal(turn.take(), false);
  await once(worker, "exit");
});

test("the turn is taken by one at a time", () => {
  const turn = new Turn();
  assert.equal(turn.take(), false);
  turn.giveBack();
  assert.equal(turn.take(), true);
  assert.equal(turn.take(), false);
});

test("the end does not wait longer than it is told to", () => {
  const turn = new Turn();
  turn.end(1);
  turn.giveBack();
  turn.end(1);
  assert.equal(turn.take(), false);
});
