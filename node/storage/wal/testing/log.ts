// A small log on a simulated disk, for the tests of this folder.

import { SimDisk } from "../../../../test/sim/disk.ts";
import { must } from "../../../lib/assert.ts";
import { nodeId } from "../../../lib/ids.ts";
import type { LogSnapshot } from "../../../replica/log-store.ts";
import type { Entry, HardState } from "../../../wire/raft.ts";
import { createLog, type LogOptions, openLog, walOptions } from "../open-log.ts";
import { segmentName } from "../segments.ts";
import { Wal } from "../wal.ts";

export const metadata = { nodeId: nodeId(0xcc4ac920d46ff089n), clusterId: 0xa511a62ef3d4eb6an };

export function entry(index: number, dataBytes = 20, term = 1): Entry {
  const data = new Uint8Array(dataBytes);
  for (let i = 0; i < dataBytes; i++) data[i] = 1 + ((index * 31 + i * 7 + term) % 255);
  return { type: "EntryNormal", term, index, data };
}

export function hardState(commit: number, term = 1): HardState {
  return { term, vote: metadata.nodeId, commit };
}

export function snapshotAt(index: number, term = 1): LogSnapshot {
  const confState = {
    voters: [metadata.nodeId],
    learners: [],
    votersOutgoing: [],
    learnersNext: [],
    autoLeave: false,
  };
  return { index, term, confState, data: Uint8Array.of(0x7b, index & 0xff, 0x7d) };
}

export function logOptions(disk: SimDisk, segmentBytes = 4096): LogOptions {
  return { disk, memberDir: "/data/member", segmentBytes };
}

export function newLog(segmentBytes?: number): { disk: SimDisk; options: LogOptions; wal: Wal } {
  const disk = new SimDisk();
  const options = logOptions(disk, segmentBytes);
  return { disk, options, wal: new Wal(walOptions(options), createLog(options, metadata).position) };
}

/** Appends entries with the HardState that commits the ones before them, and makes them durable. */
export function appendSynced(wal: Wal, entries: readonly Entry[]): void {
  for (const each of entries) wal.appendEntry(each);
  wal.appendHardState(hardState(must(entries[0], "there is an entry").index - 1));
  wal.write();
  wal.sync();
}

export function reopened(options: LogOptions): { wal: Wal; log: ReturnType<typeof openLog> } {
  const log = openLog(options);
  return { wal: new Wal(walOptions(options), log.position), log };
}

/** The path of the newest segment. */
export function lastSegment(wal: Wal): string {
  return `/data/member/wal/${segmentName(must(wal.segments.at(-1), "a log has a segment"))}`;
}
