// A chaos run that is killed takes everything with it that it started: members and network namespaces.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { checkout, nodePath, Running } from "./support/command.ts";
import { eventually } from "./support/kv.ts";

const memberCount = 3;
const startTimeoutMs = 120_000;
/** All scenarios take minutes: a run that goes on is still there then. */
const endTimeoutMs = 30_000;

test("a chaos run that is killed leaves no process behind", { timeout: 2 * startTimeoutMs }, async () => {
  const run = new Running([nodePath, join(checkout, "test", "chaos", "main.ts")], {
    timeoutMs: startTimeoutMs,
  });
  let started: readonly number[] = [];
  const members = (): number => started.filter((pid) => commandOf(pid).includes("--initial-cluster")).length;
  await eventually(
    "the run has started its members",
    async () => {
      started = descendantsOf(run.child.pid ?? 0);
      return members() === memberCount || run.child.exitCode !== null;
    },
    startTimeoutMs,
  );
  assert.equal(run.child.exitCode, null, `${run.stdout}${run.stderr}`);
  const commands = new Map(started.map((pid) => [pid, commandOf(pid)]));
  run.child.kill("SIGKILL");
  const left = (): readonly number[] =>
    started.filter((pid) => commandOf(pid) !== "" && commandOf(pid) === commands.get(pid));
  await eventually("all have ended", async () => left().length === 0, endTimeoutMs).catch(
    (error: unknown) => {
      const texts = left().map((pid) => commandOf(pid));
      for (const pid of left()) process.kill(pid, "SIGKILL");
      throw new Error(`left behind: ${texts.join("; ")}`, { cause: error });
    },
  );
});

/** Empty for one that has ended. */
function commandOf(pid: number): string {
  return procFile(pid, "cmdline").replaceAll("\0", " ");
}

function descendantsOf(pid: number): readonly number[] {
  const children = new Map<number, number[]>();
  for (const name of readdirSync("/proc")) {
    const parent = /^PPid:\t(\d+)$/m.exec(procFile(Number(name), "status"))?.[1];
    if (parent === undefined) continue;
    children.set(Number(parent), [...(children.get(Number(parent)) ?? []), Number(name)]);
  }
  const found: number[] = [];
  for (let level = [pid]; level.length > 0; ) {
    level = level.flatMap((one) => children.get(one) ?? []);
    found.push(...level);
  }
  return found;
}

function procFile(pid: number, name: string): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, "utf8");
  } catch {
    // It has ended, or is no process.
    return "";
  }
}
