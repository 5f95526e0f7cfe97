import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { spareBytes } from "../room.ts";
import { ReceivedFile } from "./received-file.ts";

const mebibyte = 1024 * 1024;

function scratch(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "etcdlike-received-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

test("a file that would not fit with its store is refused by its size, before anything is written", async (t) => {
  const folder = scratch(t);
  const free = async (): Promise<number> => spareBytes + 1999;
  await assert.rejects(ReceivedFile.create(folder, "file", 1000, free), {
    code: "ENOSPC",
    message:
      `a snapshot from another member needs 2000 bytes, with ${spareBytes} to spare, ` +
      `and ${spareBytes + 1999} bytes are free in ${folder}`,
  });
  assert.deepEqual(readdirSync(folder), []);
  const file = await ReceivedFile.create(folder, "file", 999, free);
  await file.abort();
  assert.deepEqual(readdirSync(folder), []);
});

test("a file whose size nobody announced stops where the reserve begins", async (t) => {
  const folder = scratch(t);
  let freeBytes = spareBytes + 40 * mebibyte;
  const file = await ReceivedFile.create(folder, "file", undefined, async () => freeBytes);
  const write = async (): Promise<void> => {
    freeBytes -= mebibyte;
    await file.write(new Uint8Array(mebibyte));
  };
  for (let written = 0; written < 32; written++) await write();
  await assert.rejects(
    async () => {
      for (let written = 32; written < 64; written++) await write();
    },
    { code: "ENOSPC" },
  );
  assert.ok(freeBytes > spareBytes - 16 * mebibyte, "it is noticed early");
  await file.abort();
  assert.deepEqual(readdirSync(folder), []);
});

test("a whole file is there until it is removed, and needs room for its store", async (t) => {
  const folder = scratch(t);
  let freeBytes = spareBytes + 10;
  const file = await ReceivedFile.create(folder, "file", undefined, async () => freeBytes);
  await file.write(Uint8Array.of(1, 2, 3));
  await file.finish();
  assert.deepEqual([...readFileSync(file.path)], [1, 2, 3]);
  await file.remove();
  assert.deepEqual(readdirSync(folder), []);

  const other = await ReceivedFile.create(folder, "other", undefined, async () => freeBytes);
  await other.write(new Uint8Array(11));
  freeBytes = spareBytes;
  await assert.rejects(other.finish(), /the store of a snapshot from another member needs 11 bytes/);
  await other.remove();
});
