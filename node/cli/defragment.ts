// `etcdlike defrag`: what the Defragment call does, for a member that does not run.

import { existsSync } from "node:fs";
import type { DefragmentOutcome } from "../lib/backend.ts";
import type { FatalError } from "../lib/fatal.ts";
import type { Logger } from "../lib/log.ts";
import { dataDirPaths, openDataDir } from "../storage/data-dir.ts";
import { LmdbEngine } from "../storage/lmdb/engine.ts";

/** Rejects with an Error that says why not; the store is what it was then. */
export async function defragmentDataDir(dataDir: string, log: Logger): Promise<void> {
  const { member } = dataDirPaths(dataDir);
  if (!existsSync(`${member}/CURRENT`)) throw new Error(`${member} holds no store of etcdlike`);
  if (existsSync(`${member}/INSTALL`)) {
    throw new Error(`${member} was left while it took in a snapshot: start the member once before`);
  }
  const { unlock } = openDataDir(dataDir, log);
  try {
    await defragment(member, log);
  } finally {
    unlock();
  }
}

async function defragment(memberPath: string, log: Logger): Promise<void> {
  let fail: (error: FatalError) => void = () => {};
  const failure = new Promise<never>((_resolve, reject) => {
    fail = reject;
  });
  const engine = new LmdbEngine({ memberPath, onFatal: (error) => fail(error) });
  const before = engine.size();
  const running = new Promise<DefragmentOutcome>((resolve) => engine.defragment(resolve));
  const outcome = await Promise.race([running, failure]);
  const after = engine.size();
  await new Promise<void>((done) => engine.close(done));
  if (!outcome.ok) throw new Error(`failed to defragment ${memberPath}: ${JSON.stringify(outcome)}`);
  log.info("finished defragmenting directory", {
    directory: memberPath,
    "previous-db-size-bytes": before.sizeBytes,
    "current-db-size-bytes": after.sizeBytes,
    "current-db-size-in-use-bytes": after.sizeInUseBytes,
  });
}
