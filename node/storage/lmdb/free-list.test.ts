import assert from "node:assert/strict";
import { cpSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { FatalError } from "../../lib/fatal.ts";
import { nodeDisk } from "../disk.ts";
import { flushed, put } from "../engine-contract.ts";
import { readDataFile } from "./data-file.ts";
import { pageBytes } from "./environment.ts";
import { faultOfFreeList } from "./free-list.ts";
import { closed, newMemberPath, openEngine } from "./test-store.ts";

const value = (n: number, length: number): string => `${n}`.padEnd(length, "v");

/** Overwrites and frees, so that free pages are listed, some of them in the file's tail. */
async function fill(memberPath: string): Promise<void> {
  const engine = openEngine(memberPath);
  for (let round = 0; round < 6; round++) {
    await flushed(
      engine,
      Array.from({ length: 60 }, (_, n) => put("key", `key-${n}`, value(round, 200))),
    );
  }
  await flushed(engine, [put("key", "big", value(0, 60_000))]);
  await flushed(engine, [put("key", "big", value(1, 10))]);
  await flushed(engine, [put("key", "big", value(2, 10))]);
  await closed(engine);
}

test("a file cut at any page is refused with its size, or opens and takes writes", async () => {
  const whole = newMemberPath();
  const copy = `${newMemberPath()}/member`;
  await fill(whole);
  const pristine = readFileSync(`${whole}/store-1/data.mdb`);
  const file = `${copy}/store-1/data.mdb`;
  const outcomes = { refused: 0, opened: 0, refusedByFreeList: 0 };
  for (let size = pristine.length - pageBytes; size >= 2 * pageBytes; size -= pageBytes) {
    cpSync(whole, copy, { recursive: true });
    writeFileSync(file, pristine);
    truncateSync(file, size);
    const dataFile = readDataFile(nodeDisk, file);
    const isListGone = faultOfFreeList(nodeDisk, file, dataFile) !== undefined;
    if (isListGone) outcomes.refusedByFreeList++;
    let engine: ReturnType<typeof openEngine>;
    try {
      engine = openEngine(copy);
    } catch (error) {
      assert.ok(error instanceof FatalError);
      assert.deepEqual([error.reason, error.details.offset], ["STORE_DAMAGED", size]);
      assert.equal(statSync(file).size, size, "a refused file is left as it is");
      outcomes.refused++;
      continue;
    }
    assert.ok(!isListGone);
    for (let round = 0; round < 4; round++) {
      await flushed(
        engine,
        Array.from({ length: 60 }, (_, n) => put("key", `key-${n}`, value(round, 300))),
      );
    }
    await closed(engine);
    outcomes.opened++;
  }
  assert.ok(
    outcomes.refused > 0 && outcomes.opened > 0 && outcomes.refusedByFreeList > 0,
    JSON.stringify(outcomes),
  );
  rmSync(whole, { recursive: true });
  rmSync(copy, { recursive: true });
});
