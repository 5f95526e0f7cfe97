import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLogger } from "../lib/log.ts";
import { SameUrls, type SameUrlsOptions } from "./same-urls.ts";

const known: Readonly<Record<string, string>> = {
  a: "10.0.0.1",
  "a.example": "10.0.0.1",
  b: "10.0.0.2",
  "10.0.0.1": "10.0.0.1",
  "10.0.0.2": "10.0.0.2",
  "fe80::1": "fe80::1",
};

const options: SameUrlsOptions = {
  addressOf: async (host) => known[host] ?? Promise.reject(new Error(`who is ${host}`)),
  deadlineMs: 30,
  retryMs: 1,
};

const same = new SameUrls(silentLogger, options);

test("URLs are the same in any order, as texts or as addresses", async () => {
  const cases: [string[], string[]][] = [
    [["http://a:1"], ["http://a:1"]],
    [["http://nobody:1"], ["http://nobody:1"]],
    [["http://a:1"], ["http://10.0.0.1:1"]],
    [["http://a:1"], ["http://a.example:1"]],
    [
      ["http://a:1", "http://b:1"],
      ["http://10.0.0.2:1", "http://a.example:1"],
    ],
    [
      ["https://[fe80::1]:1", "unix://x:1"],
      ["unix://x:1", "https://[fe80::1]:1"],
    ],
  ];
  for (const [some, others] of cases) assert.equal(await same.difference(some, others), undefined);
});

test("URLs of another scheme, host, port or number are others, and localhost is only itself", async () => {
  const cases: [string[], string[], RegExp][] = [
    [
      ["http://a:1"],
      ["https://10.0.0.1:1"],
      /resolved urls: "http:\/\/10.0.0.1:1" != "https:\/\/10.0.0.1:1"/,
    ],
    [["http://a:1"], ["http://b:1"], /"http:\/\/10.0.0.1:1" != "http:\/\/10.0.0.2:1"/],
    [["http://a:1"], ["http://10.0.0.1:2"], /"http:\/\/10.0.0.1:1" != "http:\/\/10.0.0.1:2"/],
    [["http://a:1"], ["http://a:1", "http://b:1"], /^1 URLs, not 2$/],
    [["http://localhost:1"], ["http://10.0.0.1:1"], /"http:\/\/localhost:1" != "http:\/\/10.0.0.1:1"/],
    [["unix://x:1"], ["unix://y:1"], /"unix:\/\/x:1" != "unix:\/\/y:1"/],
  ];
  for (const [some, others, expected] of cases) {
    assert.match((await same.difference(some, others)) ?? "none", expected);
  }
});

test("a name is asked for again until it is known, and each time it is told so", async () => {
  let left = 3;
  const told: unknown[] = [];
  const log = {
    warn: (_: string, fields?: Readonly<Record<string, unknown>>) => told.push(fields?.["host"]),
  };
  const addressOf = async (host: string): Promise<string> =>
    host !== "late" || --left === 0 ? "10.0.0.1" : Promise.reject(new Error("not yet"));
  const late = new SameUrls(log, { addressOf, deadlineMs: 60_000, retryMs: 1 });
  assert.equal(await late.difference(["http://late:1"], ["http://10.0.0.1:1"]), undefined);
  assert.equal(left, 0);
  assert.deepEqual(told, ["late", "late"]);
});

test("names that stay unknown, or are never answered for, end at one deadline, with the reason", async () => {
  const asked: string[] = [];
  const addressOf = (host: string): Promise<string> => {
    asked.push(host);
    return host === "silent" ? new Promise(() => {}) : options.addressOf(host);
  };
  const hopeless = new SameUrls(silentLogger, { ...options, addressOf });
  assert.match(
    (await hopeless.difference(["http://nobody:1"], ["http://a:1"])) ?? "",
    /^failed to resolve "http:\/\/nobody:1" \(Error: who is nobody\)$/,
  );
  assert.match(
    (await hopeless.difference(["http://silent:1"], ["http://nobody:1"])) ?? "",
    /^failed to resolve "http:\/\/silent:1" \(Error: no answer in 30 ms\)$/,
  );
  assert.ok(asked.filter((host) => host === "nobody").length < 100, `${asked.length} questions`);
});
