// Go's clientv3 and its lock and election recipes, by a program in go/ that checks for itself.
import assert from "node:assert/strict";
import { test } from "node:test";
import { start } from "../tools/member.ts";
import { toolPath } from "../tools/toolchain.ts";
import { Running } from "./support/command.ts";
import { subject } from "./support/mode.ts";

interface Outcome {
  readonly name: string;
  readonly error?: string;
  readonly ms: number;
}

const checkCount = 18;

test("clientv3", async (t) => {
  const program = await toolPath("clientv3-checks");
  const member = await start({ kind: subject });
  t.after(() => member.stop());
  const { stdout, stderr } = await new Running([program, member.endpoint], { timeoutMs: 180_000 }).finished;
  const outcomes = stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Outcome);
  for (const { name, error } of outcomes) {
    await t.test(`clientv3: ${name}`, () => assert.equal(error, undefined));
  }
  assert.equal(outcomes.length, checkCount, stderr);
});
