import assert from "node:assert/strict";
import { test } from "node:test";
import { newMessage } from "../wire/fields.ts";
import { framed } from "./frames.ts";

function messageOf(size: number): Buffer {
  const bytes = newMessage(size);
  for (let i = 0; i < size; i++) bytes[i] = i % 251;
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

test("a frame is a zero, the length and the message, whatever its size", () => {
  for (const size of [0, 1, 100, 16 * 1024 - 1, 16 * 1024, 100_000]) {
    const message = messageOf(size);
    const expected = Buffer.concat([Buffer.from([0, 0, 0, 0, 0]), message]);
    expected.writeUInt32BE(size, 1);
    assert.deepEqual(framed(message), expected);
  }
});

test("a large message is framed where it lies, once or twice", () => {
  const message = messageOf(100_000);
  assert.equal(framed(message).buffer, message.buffer);
  assert.deepEqual(framed(message), framed(message));
});

test("a view into someone else's buffer is copied", () => {
  const whole = messageOf(100_000);
  for (const view of [whole.subarray(0, 50_000), whole.subarray(1), Buffer.from(new Uint8Array(100_000))]) {
    const before = Buffer.from(view);
    const frame = framed(view);
    assert.notEqual(frame.buffer, view.buffer);
    assert.deepEqual(frame.subarray(5), before);
  }
});
