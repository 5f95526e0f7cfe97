// Snapshots that clients take: read in slices while writes, compactions and restarts go on, and then held against the
// history. A snapshot is of one moment: every key as it was at its revision, and nothing of later ones.

import { textOf } from "../../../node/lib/bytes.ts";
import { hexId } from "../../../node/lib/ids.ts";
import type { Random } from "../../../node/lib/random.ts";
import { isTombstoneKey, mainOf } from "../../../node/mvcc/revision.ts";
import type { Replica } from "../../../node/replica/replica.ts";
import type { SnapshotSource } from "../../../node/replica/snapshot-source.ts";
import { KeyValueScan } from "../../../node/wire/hot-kv.ts";
import type { SimCluster } from "./cluster.ts";

const sliceLimits = { recordsMax: 20, bytesMax: 2_000 };
const sliceMsMax = 200;

/** A snapshot that is being read, and what has come of it so far. */
interface Reading {
  readonly replica: Replica;
  readonly source: SnapshotSource;
  /** How often the member's store had been replaced. */
  readonly replacements: number;
  /** By key, the newest record; undefined for a tombstone. */
  readonly values: Map<string, string | undefined>;
  newestRevision: number;
  readonly done: () => void;
}

export class ClientSnapshots {
  readonly #cluster: SimCluster;
  readonly #random: Random;
  readonly #open = new Set<Reading>();

  constructor(cluster: SimCluster, random: Random) {
    this.#cluster = cluster;
    this.#random = random;
  }

  take(replica: Replica, done: () => void): void {
    if (replica.isInstalling) {
      done();
      return;
    }
    const { replacements } = replica.store;
    const reading: Reading = {
      replica,
      source: replica.openSnapshot(),
      replacements,
      values: new Map(),
      newestRevision: 0,
      done,
    };
    this.#open.add(reading);
    this.#goOn(reading);
  }

  /** The member is gone, and what was being read of it. */
  forget(replica: Replica): void {
    for (const reading of this.#open) if (reading.replica === replica) this.#open.delete(reading);
  }

  #goOn(reading: Reading): void {
    if (!this.#open.has(reading)) return;
    // As a real member breaks it off: what is left to read would be of another store.
    if (reading.replica.store.replacements !== reading.replacements) {
      this.#end(reading);
      return;
    }
    const slice = reading.source.next(sliceLimits);
    if (slice === undefined) {
      this.#end(reading);
      this.#expectWhole(reading);
      return;
    }
    if (slice.bucket === "key") {
      for (const { key, value } of slice.records) {
        const scan = new KeyValueScan(value);
        reading.values.set(textOf(scan.key), isTombstoneKey(key) ? undefined : textOf(scan.value));
        reading.newestRevision = mainOf(key);
      }
      const delayMs = this.#random.below(sliceMsMax);
      this.#cluster.after(delayMs, "snapshot slice", () => this.#goOn(reading));
    } else this.#goOn(reading);
  }

  #end(reading: Reading): void {
    this.#open.delete(reading);
    reading.source.close();
    reading.done();
  }

  #expectWhole({ replica, source, values, newestRevision }: Reading): void {
    const { revision } = source;
    this.#cluster.note("client snapshots");
    this.#cluster.history.snapshot(hexId(replica.nodeId), { revision, newestRevision, values });
  }
}
