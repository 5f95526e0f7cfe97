import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { firstEntries } from "./bootstrap.ts";
import { decide } from "./cli/command-line.ts";
import { silentLogger } from "./lib/log.ts";
import { startMember } from "./member.ts";
import { bootstrapClusterId, bootstrapMemberId } from "./membership/identity.ts";
import { nodeDisk } from "./storage/disk.ts";
import { createLog, openLog, walOptions } from "./storage/wal/open-log.ts";
import { Wal } from "./storage/wal/wal.ts";

const peerUrl = "http://localhost:2380";

test("a member whose first entries are on disk without their commit begins with them", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "etcdlike-bootstrap-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const config = configOf(folder);
  const location = { disk: nodeDisk, memberDir: `${folder}/data/member` };
  mkdirSync(location.memberDir, { recursive: true, mode: 0o700 });
  const nodeId = bootstrapMemberId([peerUrl], "etcd-cluster", sha1);
  const { contents, position } = createLog(location, {
    nodeId,
    clusterId: bootstrapClusterId([nodeId], sha1),
  });
  const entries = firstEntries(config, contents);
  assert.equal(entries.length, 1);
  const wal = new Wal(walOptions(location), position);
  for (const entry of entries) wal.appendEntry(entry);
  wal.close();
  assert.equal(openLog(location).contents.entries.length, 1);

  const member = await startMember({
    config,
    log: silentLogger,
    onFatal: (error) => assert.fail(error),
    onUnexpected: (error) => assert.fail(String(error)),
  });
  await member.stop();
  const { hardState } = openLog(location).contents;
  assert.ok(hardState.commit > entries.length, `commit ${hardState.commit}`);
});

function configOf(folder: string) {
  const argv = [
    `--data-dir=${folder}/data`,
    `--listen-client-urls=unix://${folder}/client`,
    `--advertise-client-urls=http://localhost:2379`,
    `--listen-peer-urls=unix://${folder}/peer`,
    `--initial-advertise-peer-urls=${peerUrl}`,
    `--initial-cluster=default=${peerUrl}`,
  ];
  const decision = decide({ argv, environment: {}, readFile: String });
  assert.ok(decision.kind === "run", JSON.stringify(decision));
  return decision.config;
}

const sha1 = (bytes: Uint8Array): Uint8Array => createHash("sha1").update(bytes).digest();
