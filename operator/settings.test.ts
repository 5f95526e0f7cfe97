import assert from "node:assert/strict";
import { test } from "node:test";
import { settingsOf } from "./settings.ts";

test("without flags it looks after all namespaces", () => {
  assert.deepEqual(settingsOf([]), {
    namespaces: [],
    leaseNamespace: "default",
    leaseName: "etcdlike-operator",
    memberImageRepository: "etcdlike",
    listenHost: "0.0.0.0",
    listenPort: 8080,
    workers: 4,
  });
  assert.deepEqual(settingsOf(["--namespaces=a,b"]).namespaces, ["a", "b"]);
});

test("a wrong flag is named with its value and what was expected", () => {
  assert.throws(() => settingsOf(["--workers=0"]), /--workers is a number from 1 to 64, got "0"/);
  assert.throws(() => settingsOf(["--workers=x"]), /got "x"/);
  assert.throws(() => settingsOf(["--listen=8080"]), /--listen is HOST:PORT, got "8080"/);
  assert.throws(() => settingsOf(["--surprise"]), /--surprise/);
});
