import assert from "node:assert/strict";
import { test } from "node:test";
import { formatDuration, int64, parseDurationMs, parseInteger, parseUrls, uint32, uint64 } from "./values.ts";

test("durations are Go's", () => {
  const cases: [string, number | undefined][] = [
    ["0", 0],
    ["5s", 5000],
    ["1h2m3.5s", 3_723_500],
    ["100ms", 100],
    ["1500us", 1.5],
    [".5s", 500],
    ["-1s", -1000],
    ["5", undefined],
    ["", undefined],
    ["5 s", undefined],
    ["s", undefined],
  ];
  for (const [text, expected] of cases) {
    const parsed = parseDurationMs(text);
    assert.equal(parsed.ok ? parsed.value : undefined, expected, text);
  }
});

test("a duration prints as Go prints it", () => {
  assert.equal(formatDuration(100), "100ms");
  assert.equal(formatDuration(1000), "1s");
  assert.equal(formatDuration(90_000), "1m30s");
  assert.equal(formatDuration(7_200_000), "2h0m0s");
});

test("integers take Go's prefixes and saturate beyond 2^53", () => {
  const value = (text: string, range = int64): unknown => {
    const parsed = parseInteger(text, range);
    return parsed.ok ? parsed.value : parsed.error;
  };
  assert.equal(value("0x10"), 16);
  assert.equal(value("010"), 8);
  assert.equal(value("1_000"), 1000);
  assert.equal(value("-5"), -5);
  assert.equal(value("-5", uint64), "parse error");
  assert.equal(value("4294967296", uint32), "value out of range");
  assert.equal(value("9223372036854775808"), "value out of range");
  assert.equal(value("18446744073709551615", uint64), Number.MAX_SAFE_INTEGER);
  assert.equal(value("1e3"), "parse error");
});

test("URLs are sorted, unique, and keep their text", () => {
  const parsed = parseUrls("http://b:2, http://[::1]:1,http://b:2,unix://sock:1");
  assert.ok(parsed.ok);
  assert.deepEqual(parsed.value, [
    { text: "http://[::1]:1", scheme: "http", host: "::1", port: 1 },
    { text: "http://b:2", scheme: "http", host: "b", port: 2 },
    { text: "unix://sock:1", scheme: "unix", host: "sock:1", port: 0 },
  ]);
  assert.deepEqual(parseUrls("http://localhost"), {
    ok: false,
    error: 'URL address does not have the form "host:port": http://localhost',
  });
});
