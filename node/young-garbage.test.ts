import assert from "node:assert/strict";
import { test } from "node:test";
import { collectYoungGarbage } from "./young-garbage.ts";

const bufferBytes = 1024 * 1024;

test("dropped buffers are freed by the next collection at the latest", () => {
  collectYoungGarbage();
  const before = process.memoryUsage().arrayBuffers;
  for (let i = 0; i < 8; i++) new Uint8Array(bufferBytes).fill(1);
  assert.ok(process.memoryUsage().arrayBuffers >= before + 8 * bufferBytes);
  collectYoungGarbage();
  // The buffers themselves are swept by a thread of V8's own, which the next collection waits for.
  collectYoungGarbage();
  assert.ok(process.memoryUsage().arrayBuffers < before + 4 * bufferBytes);
});
