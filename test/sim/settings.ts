// What a seed chooses before it begins: which faults happen at all (each with a chance of one half, since faults
// that are always on hide what the others find) and the sizes at which the member runs, most of them tiny, so that
// segments are cut, snapshots saved, layers full and compactions sliced within a few thousand events.

import type { Random } from "../../node/lib/random.ts";
import type { AutoCompaction } from "../../node/replica/auto-compactor.ts";

export const faultNames = [
  /** The process dies, the machine stays. */
  "kill",
  /** The power goes between two events. */
  "powerCut",
  /** The power goes in front of a call of the disk. */
  "powerCutInCall",
  /** The power goes while the log is opened or created. */
  "powerCutAtBoot",
  /** The member is asked to stop, and started again. */
  "stop",
  /** A power cut loses writes to files that were not synced, ... */
  "lostWrites",
  /** ... sector by sector, ... */
  "tornWrites",
  /** ... and names whose directory was not synced. */
  "lostNames",
  /** A crash loses the flush that is under way; without this it always arrived. */
  "lostFlush",
  "slowLog",
  "slowFlush",
  /** A call of the disk fails. */
  "diskError",
  "diskFull",
  /** A flush of the store fails. */
  "storeError",
  /** The process stands still, and its timers come late. */
  "pause",
] as const;

export type FaultName = (typeof faultNames)[number];

export interface Settings {
  readonly faults: ReadonlySet<FaultName>;
  /** At least so many, and at least so many crashes. */
  readonly events: number;
  readonly crashes: number;
  readonly snapshotCount: number;
  readonly snapshotCatchupEntries: number;
  readonly segmentBytes: number;
  readonly flushIntervalMs: number;
  readonly flushBytesMax: number;
  readonly compactionBatchRecords: number;
  readonly compactionPauseMs: number;
  readonly progressNotifyIntervalMs: number;
  readonly preVote: boolean;
  readonly hasLeaseCheckpoints: boolean;
  readonly autoCompaction: AutoCompaction | undefined;
  readonly clients: number;
  readonly thinkMs: number;
  readonly keys: number;
  readonly valueBytesMax: number;
}

/** `switched` are faults that are on where the seed has them off, and the other way round. */
export function drawSettings(random: Random, eventsMin: number, switched: ReadonlySet<FaultName>): Settings {
  const pick = <T>(...choices: readonly T[]): T => choices[random.below(choices.length)] as T;
  const faults = new Set(faultNames.filter(() => random.below(2) === 0));
  // A run has crashes, whatever was drawn.
  faults.add(pick("kill", "powerCut", "powerCutInCall"));
  for (const name of switched) if (!faults.delete(name)) faults.add(name);
  return {
    faults,
    events: eventsMin,
    crashes: 3 + random.below(4),
    snapshotCount: pick(5, 20, 100, 10_000),
    snapshotCatchupEntries: pick(1, 10, 5_000),
    segmentBytes: pick(4_096, 16_384, 65_536),
    flushIntervalMs: pick(10, 100, 1_000),
    flushBytesMax: pick(2_000, 20_000, 32 * 1024 * 1024),
    compactionBatchRecords: pick(1, 10, 1_000),
    compactionPauseMs: pick(1, 10),
    progressNotifyIntervalMs: pick(500, 5_000, 600_000),
    preVote: pick(true, false),
    hasLeaseCheckpoints: pick(true, false),
    autoCompaction: pick(undefined, undefined, { mode: "periodic", retentionMs: 3_000 }),
    clients: pick(1, 3, 8),
    thinkMs: pick(5, 20, 80),
    keys: pick(3, 10, 40),
    valueBytesMax: pick(8, 100, 2_000),
  };
}

/** All of it as text, for the trace. */
export function settingsText(settings: Settings): string {
  return JSON.stringify({ ...settings, faults: [...settings.faults].sort() });
}
