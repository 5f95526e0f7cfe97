import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { ApiError } from "../../api/errors.ts";
import { codecs } from "../../wire/codecs.ts";
import { jsonMessageOf } from "../../wire/json-fields.ts";
import { services } from "../../wire/services.ts";
import { type MessageLimits, messagesOf, Room } from "./request-messages.ts";

const type = jsonMessageOf(services.lease.leaseKeepAlive.requestType);

function reading({ isFirstDue = false, ...changes }: Partial<MessageLimits> & { isFirstDue?: boolean } = {}) {
  const body = new PassThrough();
  const limits = { jsonBytesMax: 100_000, patienceMs: 10_000, room: new Room(1_000_000), ...changes };
  const messages = messagesOf(body, type, limits, { isFirstDue });
  const next = async (): Promise<bigint | undefined> => {
    const { value, done } = await messages.next();
    return done === true ? undefined : codecs.LeaseKeepAliveRequest.decode(value).ID;
  };
  return { body, messages, next };
}

function code(wanted: string) {
  return (error: unknown): boolean => error instanceof ApiError && error.code === wanted;
}

test("messages come one by one, from whatever pieces", async () => {
  const { body, next } = reading();
  body.write(` {"ID":1}{"ID":`);
  assert.equal(await next(), 1n);
  const second = next();
  for (const piece of [`"`, "2", `"`, "}", "\n\n"]) body.write(piece);
  assert.equal(await second, 2n);
  body.end("{}");
  assert.equal(await next(), 0n);
  assert.equal(await next(), undefined);
});

test("what is held of messages that are not whole has a bound for all bodies together", async () => {
  const room = new Room(20_000);
  const hoarder = reading({ room });
  hoarder.body.write(`{"bogus":"${"x".repeat(8_000)}`);
  const hoarded = hoarder.next();
  await new Promise(setImmediate);
  const whole = reading({ room });
  whole.body.write(`{"bogus":"${"x".repeat(8_000)}","ID":3}`);
  assert.equal(await whole.next(), 3n, "a message that comes in one piece is not held");
  const cut = reading({ room });
  cut.body.write(`{"bogus":"${"x".repeat(15_000)}`);
  await assert.rejects(cut.next(), code("ResourceExhausted"));
  hoarder.body.write(`","ID":4}`);
  assert.equal(await hoarded, 4n);
  const later = reading({ room });
  later.body.write(`{"bogus":"${"x".repeat(9_000)}`);
  const waiting = later.next();
  await new Promise(setImmediate);
  later.body.end(`"}`);
  assert.equal(await waiting, 0n, "the room is free again");
  assert.ok(room.take(20_000));
});

test("a message above the limit is refused before it is whole", async () => {
  const { body, next } = reading({ jsonBytesMax: 1000 });
  body.write(`{"bogus":"${"x".repeat(2000)}`);
  await assert.rejects(next(), code("ResourceExhausted"));
});

test("a message that was begun has to end, and one that is due to begin", async () => {
  const patienceMs = 50;
  const begun = reading({ patienceMs });
  begun.body.write(`{"ID":1}{"ID"`);
  assert.equal(await begun.next(), 1n);
  await assert.rejects(begun.next(), code("DeadlineExceeded"));
  await assert.rejects(reading({ patienceMs, isFirstDue: true }).next(), code("DeadlineExceeded"));
  const silent = reading({ patienceMs });
  const first = silent.next();
  await new Promise((resolve) => setTimeout(resolve, 3 * patienceMs));
  silent.body.write(`{"ID":5}`);
  assert.equal(await first, 5n, "a stream may be silent between messages");
});
