// X2: what a member does when the kernel fails a call on its store or its log, and when its store is cut short under it.
// It ends with its reason and nothing else, and what it had acknowledged is there afterwards, or the start is refused.
import assert from "node:assert/strict";
import { readFile, stat, truncate, writeFile } from "node:fs/promises";
import { constants } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { exitCodes, type FatalReason } from "../../node/lib/fatal.ts";
import { TestClient } from "../conformance/client.ts";
import { type Member, start } from "../tools/member.ts";
import { preloadLibrary } from "../tools/preload.ts";
import { runCommand } from "./support/command.ts";
import { eventually, keyValue, put } from "./support/kv.ts";
import { freePort, scratchFolder } from "./support/scratch.ts";

const { EIO, ENOSPC } = constants.errno;
const writesBefore = 30;
const writersCount = 4;

interface Fault {
  readonly what: string;
  /** A part of the path of the files meant. */
  readonly path: string;
  readonly call: "write" | "sync";
  readonly errno: number;
  readonly reason: FatalReason;
}

const faults: readonly Fault[] = [
  { what: "a write to the store", path: "/store-", call: "write", errno: EIO, reason: "IO_ERROR" },
  { what: "a sync of the store", path: "/store-", call: "sync", errno: EIO, reason: "IO_ERROR" },
  { what: "room for the store", path: "/store-", call: "write", errno: ENOSPC, reason: "DISK_FULL" },
  { what: "a write to the log", path: "/wal/", call: "write", errno: EIO, reason: "IO_ERROR" },
  { what: "a sync of the log", path: "/wal/", call: "sync", errno: EIO, reason: "IO_ERROR" },
  { what: "room for the log", path: "/wal/", call: "write", errno: ENOSPC, reason: "DISK_FULL" },
];

for (const fault of faults) {
  test(`X2: a member that is denied ${fault.what} ends as ${fault.reason}, and keeps what it acknowledged`, async (t) => {
    const scratch = await scratchFolder(t);
    const dataDir = join(scratch, "data");
    const trigger = join(scratch, "trigger");
    const lastWords = join(scratch, "last-words");
    const member = await start({
      kind: "etcdlike",
      dataDir,
      flags: ["--termination-log", lastWords],
      env: {
        LD_PRELOAD: preloadLibrary(join(import.meta.dirname, "support", "disk-fault.c")),
        FAULT_TRIGGER: trigger,
        FAULT_PATH: fault.path,
        FAULT_CALL: fault.call,
        FAULT_ERRNO: String(fault.errno),
        UV_USE_IO_URING: "0",
      },
    });
    t.after(() => member.kill());
    const acknowledged = await writeUntilItEnds(member, () => writeFile(trigger, ""));
    assert.equal(await member.exited, exitCodes[fault.reason]);
    // LMDB prints about it, too, without an end of the line; this file holds the last words alone.
    assert.equal(JSON.parse(await readFile(lastWords, "utf8")).reason, fault.reason);

    const again = await start({ kind: "etcdlike", dataDir });
    t.after(() => again.stop());
    const client = new TestClient(again.endpoint);
    t.after(() => client.close());
    assert.ok(acknowledged.size >= writesBefore);
    for (const [key, value] of acknowledged) assert.equal(await keyValue(client, key), value);
    await put(client, "after", "x");
  });
}

test("X2: a store that is cut short under a running member is served no more, and refused at the next start", async (t) => {
  const scratch = await scratchFolder(t);
  const dataDir = join(scratch, "data");
  const first = await start({ kind: "etcdlike", dataDir });
  const client = new TestClient(first.endpoint);
  for (let i = 0; i < 200; i++) await put(client, `key ${i}`, "v".repeat(5_000));
  client.close();
  await first.stop();

  const member = await start({ kind: "etcdlike", dataDir });
  t.after(() => member.kill());
  const file = join(dataDir, "member", "store-1", "data.mdb");
  const bytes = Math.floor((await stat(file)).size / 4);
  await truncate(file, bytes);
  const reader = new TestClient(member.endpoint);
  t.after(() => reader.close());
  for (let i = 0; i < 200; i++) {
    const outcome = await reader.call("Range", { key: `key ${i}` });
    if (!outcome.ok) break;
    const [kv] = outcome.response["kvs"] as readonly { readonly value: Uint8Array }[];
    assert.equal(
      new TextDecoder().decode(kv?.value),
      "v".repeat(5_000),
      "what is served is what was written",
    );
  }
  // The kernel ends it with SIGBUS, or it meets what is missing and says so.
  const code = await member.exited;
  assert.ok(code === null || code === exitCodes.STORE_DAMAGED, `it ended with ${code}`);

  const url = `http://127.0.0.1:${await freePort()}`;
  const refused = await runCommand([
    ...["--data-dir", dataDir, "--listen-client-urls", url, "--advertise-client-urls", url],
  ]);
  assert.equal(refused.code, exitCodes.STORE_DAMAGED, refused.stderr);
  assert.equal((await stat(file)).size, bytes, "the file is left as it was found");
});

/** Puts from several writers at once until the member is gone. What was acknowledged, by key. */
async function writeUntilItEnds(
  member: Member,
  strike: () => Promise<void>,
): Promise<ReadonlyMap<string, string>> {
  const acknowledged = new Map<string, string>();
  const client = new TestClient(member.endpoint);
  const write = async (writer: number): Promise<void> => {
    for (let i = 0; ; i++) {
      // Each once: one that was not answered may have happened all the same.
      const key = `key ${writer} ${i}`;
      const value = `${i}`.padEnd(1_000, ".");
      if (!(await client.call("Put", { key, value })).ok) return;
      acknowledged.set(key, value);
    }
  };
  const writers = Array.from({ length: writersCount }, (_, writer) => write(writer));
  await eventually("some writes", async () => acknowledged.size >= writesBefore);
  await strike();
  await Promise.all(writers);
  client.close();
  return acknowledged;
}
