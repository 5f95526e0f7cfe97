import assert from "node:assert/strict";
import { test } from "node:test";
import {
  decideClusterVersion,
  formatVersion,
  isDowngrade,
  isDowngradeOver,
  parseVersion,
  type VersionDecision,
} from "./cluster-version.ts";

test("a version is read from any whole release and written with its minor only", () => {
  const cases: readonly [string, string | undefined][] = [
    ["3.6.14", "3.6.0"],
    ["3.6.0-rc.1", "3.6.0"],
    ["3.10.2+git", "3.10.0"],
    ["3.6", undefined],
    ["v3.6.0", undefined],
    ["not_decided", undefined],
    ["", undefined],
  ];
  for (const [text, expected] of cases) {
    const version = parseVersion(text);
    assert.equal(version === undefined ? undefined : formatVersion(version), expected, text);
  }
});

test("a downgrade is exactly one minor version", () => {
  const from = { major: 3, minor: 6 };
  assert.ok(isDowngrade(from, { major: 3, minor: 5 }));
  for (const to of [
    { major: 3, minor: 4 },
    { major: 3, minor: 6 },
    { major: 2, minor: 5 },
  ]) {
    assert.ok(!isDowngrade(from, to), formatVersion(to));
  }
});

test("a downgrade is over when every member is known to run the version that was asked for", () => {
  const downgrade = { isEnabled: true, target: "3.6.0" } as const;
  assert.ok(isDowngradeOver(downgrade, ["3.6.14", "3.6.2"]));
  assert.ok(!isDowngradeOver(downgrade, ["3.6.14", "3.7.1"]));
  assert.ok(!isDowngradeOver(downgrade, ["3.6.14", "3.5.33"]));
  assert.ok(!isDowngradeOver(downgrade, ["3.6.14", undefined]));
  assert.ok(!isDowngradeOver({ isEnabled: false }, ["3.6.14"]));
});

test("the leader decides as etcd does", () => {
  const off = { isEnabled: false } as const;
  const to35 = { isEnabled: true, target: "3.5.0" } as const;
  const cases: readonly [string, Omit<VersionDecision, "current">, string | undefined, string | undefined][] =
    [
      ["all known", { downgrade: off, releases: ["3.6.14", "3.6.1"] }, undefined, "3.6.0"],
      ["the oldest counts", { downgrade: off, releases: ["3.6.14", "3.5.9"] }, undefined, "3.5.0"],
      ["one is silent at the start", { downgrade: off, releases: ["3.6.14", undefined] }, undefined, "3.0.0"],
      ["one is silent later", { downgrade: off, releases: ["3.6.14", undefined] }, "3.0.0", undefined],
      ["one answers nonsense", { downgrade: off, releases: ["3.6.14", "?"] }, "3.0.0", undefined],
      ["all came up", { downgrade: off, releases: ["3.6.14", "3.6.14"] }, "3.0.0", "3.6.0"],
      ["nothing changed", { downgrade: off, releases: ["3.6.14", "3.6.14"] }, "3.6.0", undefined],
      ["an older one joined", { downgrade: off, releases: ["3.6.14", "3.5.9"] }, "3.6.0", undefined],
      ["a downgrade begins", { downgrade: to35, releases: ["3.6.14", "3.6.14"] }, "3.6.0", "3.5.0"],
      ["a downgrade goes on", { downgrade: to35, releases: ["3.6.14", "3.5.9"] }, "3.5.0", undefined],
      ["a downgrade of two", { downgrade: to35, releases: ["3.7.0", "3.7.0"] }, "3.7.0", undefined],
    ];
  for (const [name, decision, current, expected] of cases) {
    const known = current === undefined ? undefined : parseVersion(current);
    const decided = decideClusterVersion({ ...decision, current: known });
    assert.equal(decided === undefined ? undefined : formatVersion(decided), expected, name);
  }
});
