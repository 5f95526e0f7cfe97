// What a restored store says of itself: its revisions and the hash that HashKV gives for it.

import type { FatalError } from "../lib/fatal.ts";
import { type HashKv, HashKvJob } from "../mvcc/hash-kv.ts";
import { Overlay } from "../mvcc/overlay.ts";
import { Store } from "../mvcc/store.ts";
import { LmdbEngine } from "../storage/lmdb/engine.ts";

const slice = { recordsMax: 1_000, bytesMax: 4 << 20 };

/** No member runs on it. Rejects with a FatalError for a store that cannot be trusted. */
export async function hashOfStore(memberPath: string): Promise<HashKv> {
  let failure: FatalError | undefined;
  const engine = new LmdbEngine({
    memberPath,
    onFatal: (error) => {
      failure = error;
    },
  });
  try {
    const store = new Store(new Overlay(engine));
    const { currentRevision: revision, compactRevision } = store;
    const span = { revision, compactRevision, isOfCompaction: false };
    const job = new HashKvJob(new Overlay(engine), span);
    while (!job.step(slice)) if (failure !== undefined) throw failure;
    return job.result();
  } finally {
    if (failure === undefined) await new Promise<void>((done) => engine.close(done));
  }
}
