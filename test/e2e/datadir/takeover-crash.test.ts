// A takeover that is cut short, at any time: the next start does it again or finds it done, and the original stays.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { hashKv, tool } from "../snapshot/support.ts";
import { startCommand } from "../support/command.ts";
import { freePort, scratchFolder } from "../support/scratch.ts";
import { startOn } from "./support.ts";

const timeout = 300_000;

test("a member killed while it takes over a large store does it again, and the original is never changed", {
  timeout,
}, async (t) => {
  const folder = await scratchFolder(t);
  const dataDir = join(folder, "data");
  const etcd = await startOn(t, { kind: "etcd", dataDir });
  const load = [
    "put",
    "--total",
    "30000",
    "--val-size",
    "1500",
    "--key-space-size",
    "20000",
    "--clients",
    "50",
  ];
  await tool("benchmark", "--endpoints", etcd.endpoint, "--conns", "5", ...load);
  const hash = await hashKv(etcd);
  const { ports } = etcd;
  await etcd.stop();
  const db = await readFile(join(dataDir, "member/snap/db"));

  const url = `http://127.0.0.1:${await freePort()}`;
  const flags = ["--data-dir", dataDir, "--listen-client-urls", url, "--advertise-client-urls", url];
  let wasCut = 0;
  for (const afterMs of [0, 30, 100, 200, 400, 800]) {
    const running = startCommand(flags, { timeoutMs: timeout });
    await running.printed("taking over the store of a real etcd");
    await delay(afterMs);
    running.child.kill("SIGKILL");
    const { stderr } = await running.finished;
    if (stderr.includes("took over the store of a real etcd")) break;
    wasCut++;
  }
  assert.ok(wasCut > 0, "it was cut short once at least");
  const ours = await startOn(t, { kind: "etcdlike", dataDir, ports });
  assert.equal(await hashKv(ours), hash);
  assert.ok(db.equals(await readFile(join(dataDir, "member/snap/db"))));
});
