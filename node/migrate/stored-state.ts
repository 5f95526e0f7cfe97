// Where the live store stands in the log, asked before a member opens it.

import type { FatalError } from "../lib/fatal.ts";
import { type DurableState, readDurableState } from "../replica/durable-state.ts";
import { LmdbEngine } from "../storage/lmdb/engine.ts";
import { StoreFolder } from "../storage/lmdb/store-folder.ts";

/** Undefined when there is no store, or nothing was applied to it. Rejects with a FatalError. */
export async function storedState(memberPath: string): Promise<DurableState | undefined> {
  if (new StoreFolder(memberPath).livePath === undefined) return undefined;
  let failure: FatalError | undefined;
  const onFatal = (error: FatalError): void => {
    failure = error;
  };
  const engine = new LmdbEngine({ memberPath, onFatal });
  const state = readDurableState(engine);
  await new Promise<void>((done) => engine.close(done));
  if (failure !== undefined) throw failure;
  return state;
}
