import assert from "node:assert/strict";
import { test } from "node:test";
import { parseCron } from "./cron.ts";

function schedule(text: string, timeZone = "Etc/UTC") {
  const parsed = parseCron(text, timeZone);
  assert.ok(parsed.ok);
  return {
    last: (time: string) => iso(parsed.schedule.lastAt(Date.parse(time))),
    next: (time: string) => iso(parsed.schedule.nextAfter(Date.parse(time))),
  };
}

function iso(wallMs: number | undefined): string | undefined {
  return wallMs === undefined ? undefined : new Date(wallMs).toISOString();
}

test("a time counts from its very second on", () => {
  const { last, next } = schedule("30 3 * * *");
  assert.equal(last("2026-03-10T03:30:00Z"), "2026-03-10T03:30:00.000Z");
  assert.equal(last("2026-03-10T03:30:00.900Z"), "2026-03-10T03:30:00.000Z");
  assert.equal(last("2026-03-10T03:29:59.999Z"), "2026-03-09T03:30:00.000Z");
  assert.equal(next("2026-03-10T03:29:59.999Z"), "2026-03-10T03:30:00.000Z");
  assert.equal(next("2026-03-10T03:30:00Z"), "2026-03-11T03:30:00.000Z");
});

test("after a long stop the last missed time is found, and no other", () => {
  assert.equal(schedule("*/5 * * * *").last("2026-03-10T03:33:00Z"), "2026-03-10T03:30:00.000Z");
  assert.equal(schedule("0 0 29 2 *").last("2027-12-01T00:00:00Z"), "2024-02-29T00:00:00.000Z");
});

test("the time zone decides, over the changes of daylight saving", () => {
  const { next } = schedule("30 2 * * *", "Europe/Berlin");
  assert.equal(next("2026-03-27T12:00:00Z"), "2026-03-28T01:30:00.000Z");
  // 02:30 does not exist on 29 March 2026.
  const missing = next("2026-03-28T12:00:00Z");
  assert.ok(missing === "2026-03-29T01:00:00.000Z" || missing === "2026-03-29T01:30:00.000Z", missing);
  assert.equal(next("2026-03-29T12:00:00Z"), "2026-03-30T00:30:00.000Z");
  // 02:30 comes twice on 25 October 2026.
  const first = next("2026-10-24T12:00:00Z") ?? "";
  assert.equal(next(first)?.slice(0, 10), "2026-10-26");
});

test("what is no schedule or no zone is refused with a message", () => {
  for (const [text, zone] of [
    ["61 * * * *", "Etc/UTC"],
    ["* * * * * *", "Etc/UTC"],
    ["a b c d e", "Etc/UTC"],
    ["0 * * * *", "Mars/Olympus"],
  ] as const) {
    const parsed = parseCron(text, zone);
    assert.equal(parsed.ok, false, `${text} ${zone}`);
    assert.ok(!parsed.ok && parsed.message.length > 0);
  }
});
