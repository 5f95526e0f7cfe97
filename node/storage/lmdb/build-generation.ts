// Makes a whole store out of something else than the log: a snapshot, or the store of another program. It grows as a
// generation beside the live one, and takes its place in one step when everything in it is on disk. Whatever ends
// the process before that leaves the live one as it was, and a folder that the next start removes.

import type { Engine } from "../../lib/backend.ts";
import type { FatalError } from "../../lib/fatal.ts";
import { LmdbEngine } from "./engine.ts";
import { nodeStoreDisk, type StoreDisk, StoreFolder } from "./store-folder.ts";

/** Puts everything into the empty engine, and resolves when its last flush is done. */
export type FillStore = (engine: Engine) => Promise<void>;

/**
 * `memberPath` is locked by this process, and no store in it is open. Rejects with what `fill` rejects with or with
 * the engine's FatalError, and the live generation is the one it was then.
 */
export async function buildGeneration(
  memberPath: string,
  fill: FillStore,
  disk: StoreDisk = nodeStoreDisk,
): Promise<void> {
  const folder = new StoreFolder(memberPath, disk);
  const generation = folder.begin();
  let fail: (error: FatalError) => void = () => {};
  let hasFailed = false;
  const failure = new Promise<never>((_resolve, reject) => {
    fail = (error) => {
      hasFailed = true;
      reject(error);
    };
  });
  const engine = new LmdbEngine({ memberPath, generation, disk, onFatal: (error) => fail(error) });
  const close = (): Promise<void> => new Promise((done) => engine.close(done));
  try {
    await Promise.race([fill(engine), failure]);
  } catch (error) {
    // An engine that failed closes no more.
    if (!hasFailed) await close();
    folder.removeDead(generation);
    throw error;
  }
  await close();
  folder.publish(generation);
}
