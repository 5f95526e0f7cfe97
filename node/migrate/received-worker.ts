// The thread that makes a store out of a snapshot that another member sent: that takes seconds, in which the member
// has to answer its leader. It checks everything first; what it leaves is whole and on disk, or an error.

import { parentPort, workerData } from "node:worker_threads";
import { must } from "../lib/assert.ts";
import { utf8 } from "../lib/bytes.ts";
import { FatalError, type FatalReason } from "../lib/fatal.ts";
import { storageVersion } from "../lib/version.ts";
import { writeDurableState } from "../replica/durable-state.ts";
import { BoltReader } from "../storage/bbolt/reader.ts";
import { StoredSnapshot } from "../storage/bbolt/snapshot-file.ts";
import { nodeDisk } from "../storage/disk.ts";
import { LmdbEngine } from "../storage/lmdb/engine.ts";
import type { ConfState } from "../wire/raft.ts";
import { checkTakeover, readEtcdStore } from "./etcd-store.ts";
import { fillStore } from "./fill-store.ts";

export interface ReceivedWorkerData {
  /** etcd's bbolt file. */
  readonly file: string;
  readonly memberPath: string;
  /** The empty folder of the generation. */
  readonly generation: string;
  /** What the leader says of the file. */
  readonly index: number;
  readonly term: number;
  readonly confState: ConfState;
}

export type ReceivedWorkerAnswer =
  | { readonly ok: true }
  /** With a reason the member cannot go on; without one the file is no use. */
  | { readonly ok: false; readonly text: string; readonly reason: FatalReason | undefined };

const port = must(parentPort ?? undefined, "this file runs as a worker");

build(workerData as ReceivedWorkerData).then(
  () => port.postMessage({ ok: true } satisfies ReceivedWorkerAnswer),
  (error: unknown) => {
    const text = error instanceof Error ? error.message : String(error);
    const reason = error instanceof FatalError ? error.reason : undefined;
    port.postMessage({ ok: false, text, reason } satisfies ReceivedWorkerAnswer);
  },
);

async function build(data: ReceivedWorkerData): Promise<void> {
  const { file, memberPath, generation, index, term, confState } = data;
  const store = readEtcdStore(nodeDisk, file);
  if (store.index !== index) {
    throw new Error(`the store has applied index ${store.index}, its snapshot message says ${index}`);
  }
  checkTakeover(store);
  const source = new StoredSnapshot(nodeDisk, file);
  try {
    let fail: (error: Error) => void = () => {};
    const failure = new Promise<never>((_resolve, reject) => {
      fail = reject;
    });
    const engine = new LmdbEngine({ memberPath, generation, onFatal: (error) => fail(error) });
    const filled = fillStore(engine, new BoltReader(source), {
      complete(backend) {
        writeDurableState(backend, { index, term, confState });
        if (store.storageVersion === undefined) {
          backend.put("meta", utf8("storageVersion"), utf8(storageVersion));
        }
      },
    });
    await Promise.race([filled, failure]);
    await new Promise<void>((done) => engine.close(done));
  } finally {
    source.close();
  }
}
