import assert from "node:assert/strict";
import { test } from "node:test";
import { amountOf } from "./quantity.ts";

test("quantities are read as Kubernetes means them", () => {
  const table: readonly (readonly [string | number, number])[] = [
    ["8Gi", 8 * 2 ** 30],
    ["1.5Ki", 1_536],
    ["500M", 500_000_000],
    [1024, 1_024],
    ["1e3", 1_000],
    ["12E2", 1_200],
    ["1E", 1e18],
    ["0.1", 1],
    ["1500m", 2],
    ["-1Ki", -1_024],
    [".5Mi", 524_288],
  ];
  assert.deepEqual(
    table.map(([text]) => amountOf(text)),
    table.map(([, amount]) => amount),
  );
});

test("what is no quantity is refused with its text", () => {
  for (const text of ["", "Gi", "8 Gi", "8gi", "1e", "0x10"]) {
    assert.throws(() => amountOf(text), new RegExp(`got ${JSON.stringify(text)}`));
  }
});
