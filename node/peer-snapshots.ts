// Whole stores on their way between members: ours is sent as etcd's bbolt file, and what arrives is spooled, checked
// and made into a generation of our own before Raft hears of it.

import type { MemberApi } from "./api/member-api.ts";
import { buildSnapshot } from "./api/snapshot-build.ts";
import type { SnapshotFile, SnapshotSpool } from "./api/snapshot-port.ts";
import { must } from "./lib/assert.ts";
import type { StoreGeneration } from "./lib/backend.ts";
import { utf8 } from "./lib/bytes.ts";
import { FatalError } from "./lib/fatal.ts";
import type { Metrics } from "./lib/metrics.ts";
import { encodeV2Document } from "./membership/v2-document.ts";
import { buildReceivedStore } from "./migrate/received-store.ts";
import { realClock } from "./observe/real-clock.ts";
import type { IncomingSnapshot, OutgoingSnapshot, SnapshotPort } from "./peer/port.ts";
import { ReceivedFile } from "./storage/bbolt/received-file.ts";
import type { LmdbEngine } from "./storage/lmdb/engine.ts";
import type { Message } from "./wire/raft.ts";

/** Time for the receiver to install what it got and to ask for what comes behind it. */
const pinnedAfterMs = 30_000;
const readBytes = 256 * 1024;

export interface PeerSnapshotsOptions {
  readonly engine: LmdbEngine;
  readonly memberPath: string;
  /** The folder `member/snap`. */
  readonly snapPath: string;
  readonly spool: SnapshotSpool;
  readonly metrics: Pick<Metrics, "snapDbSyncSeconds" | "snapDbSaveTotalSeconds">;
  /** What was received must not be served, and the log that follows it neither. */
  readonly onFatal: (error: FatalError) => void;
}

export class PeerSnapshots implements SnapshotPort {
  readonly #options: PeerSnapshotsOptions;
  #api: MemberApi | undefined;
  #isReceiving = false;
  #count = 0;
  /** The store of the message that Raft is about to hear of. */
  #ready: { readonly message: Message; readonly generation: StoreGeneration } | undefined;

  constructor(options: PeerSnapshotsOptions) {
    this.#options = options;
  }

  /** Whose snapshots are sent; known only after the peers. */
  attach(api: MemberApi): void {
    this.#api = api;
  }

  async open(message: Message): Promise<OutgoingSnapshot> {
    const api = must(this.#api, "snapshots are sent by a member that has started");
    const { replica } = api;
    const unpin = replica.pinLog(replica.appliedIndex);
    try {
      const built = must(await buildSnapshot(api, this.#options.spool, () => false), "nobody cancels it");
      const { index, term, confState, members, clusterVersion } = built.state;
      const data = utf8(encodeV2Document(members, clusterVersion));
      return {
        message: { ...message, snapshot: { data, metadata: { index, term, confState } } },
        fileBytes: built.file.bytes,
        bytes: bytesOf(built.file),
        close() {
          void built.file.close();
          realClock.after(pinnedAfterMs, unpin);
        },
      };
    } catch (error) {
      unpin();
      throw error;
    }
  }

  async begin(message: Message, fileBytes: number | undefined): Promise<IncomingSnapshot> {
    if (this.#isReceiving) throw new Error("another snapshot is being received");
    this.#isReceiving = true;
    const { snapPath, metrics } = this.#options;
    const startMs = realClock.nowMs();
    // The ending is one that the next start takes for a leftover.
    const name = `received-${process.pid}-${this.#count++}.snap.tmp`;
    let file: ReceivedFile;
    try {
      file = await ReceivedFile.create(snapPath, name, fileBytes);
    } catch (error) {
      this.#isReceiving = false;
      throw error;
    }
    return {
      write: (bytes) => file.write(bytes),
      finish: async () => {
        try {
          await file.finish();
          const builtMs = realClock.nowMs();
          this.#ready = { message, generation: await this.#build(message, file.path) };
          metrics.snapDbSyncSeconds.observe((realClock.nowMs() - builtMs) / 1000);
          metrics.snapDbSaveTotalSeconds.observe((realClock.nowMs() - startMs) / 1000);
        } finally {
          this.#isReceiving = false;
          await file.remove();
        }
      },
      abort: () => {
        void file.abort().finally(() => {
          this.#isReceiving = false;
        });
      },
    };
  }

  /** The store that was received with this message. */
  take(message: Message): StoreGeneration {
    const ready = this.#ready;
    this.#ready = undefined;
    if (ready?.message !== message) throw new Error("a snapshot message without its store");
    return ready.generation;
  }

  async #build(message: Message, file: string): Promise<StoreGeneration> {
    const { engine, memberPath } = this.#options;
    const { metadata } = must(message.snapshot, "a snapshot message has a snapshot");
    const generation = engine.beginGeneration();
    try {
      await buildReceivedStore({ file, memberPath, generation, ...metadata });
      return engine.sealGeneration(generation);
    } catch (error) {
      engine.discardGeneration(generation);
      if (error instanceof FatalError) this.#options.onFatal(error);
      throw error;
    }
  }
}

async function* bytesOf(file: SnapshotFile): AsyncGenerator<Uint8Array> {
  for (let position = 0; position < file.bytes; ) {
    const bytes = await file.read(position, readBytes);
    position += bytes.length;
    yield bytes;
  }
}
