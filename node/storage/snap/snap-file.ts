// `.snap` files: `member/snap/%016x-%016x.snap` by term and index, a raftpb.Snapshot behind its CRC-32C. The
// data inside is the v2 membership document, so the files stay small. A file counts only together with a
// snapshot record in the log, and is written before that.

import { updateCrc32c } from "../../lib/crc32c.ts";
import type { LogSnapshot } from "../../replica/log-store.ts";
import { WireError } from "../../wire/error.ts";
import { raftCodecs } from "../../wire/raft-codec.ts";
import { type Disk, fatalOfDisk, readWhole, writeWhole } from "../disk.ts";

/** As many as etcd keeps. */
export const keptSnapFiles = 5;

const pattern = /^[0-9a-f]{16}-[0-9a-f]{16}\.snap$/;

export interface SnapId {
  readonly term: number;
  readonly index: number;
}

export function snapName({ term, index }: SnapId): string {
  return `${hex16(term)}-${hex16(index)}.snap`;
}

export type SnapReading =
  | { readonly ok: true; readonly snapshot: LogSnapshot }
  | { readonly ok: false; readonly what: string };

/** How long writing a file took, for the metrics. */
export interface SnapTimes {
  readonly marshallingSeconds: number;
  /** Writing and syncing. */
  readonly syncSeconds: number;
  readonly totalSeconds: number;
}

/** Writes the file durably. Throws FatalError. */
export function writeSnapFile(disk: Disk, directory: string, snapshot: LogSnapshot): SnapTimes {
  const { index, term, confState } = snapshot;
  const startMs = performance.now();
  const data = raftCodecs.Snapshot.encode({ data: snapshot.data, metadata: { index, term, confState } });
  const bytes = raftCodecs.SnapFile.encode({ crc: updateCrc32c(0, data), data });
  const name = snapName(snapshot);
  const encodedMs = performance.now();
  guard(`${directory}/${name}`, () => writeWhole(disk, directory, name, bytes));
  const endMs = performance.now();
  return {
    marshallingSeconds: (encodedMs - startMs) / 1000,
    syncSeconds: (endMs - encodedMs) / 1000,
    totalSeconds: (endMs - startMs) / 1000,
  };
}

/** Reads the file of a snapshot. Throws FatalError when the disk fails, not when the content is wrong. */
export function readSnapFile(disk: Disk, directory: string, id: SnapId): SnapReading {
  const path = `${directory}/${snapName(id)}`;
  const bytes = guard(path, () => readWhole(disk, path));
  if (bytes === undefined) return { ok: false, what: "the file is missing" };
  try {
    const file = raftCodecs.SnapFile.decode(bytes);
    if (file.data.length === 0) return { ok: false, what: "the file is empty" };
    if (updateCrc32c(0, file.data) !== file.crc) return { ok: false, what: "its checksum is wrong" };
    const { data, metadata } = raftCodecs.Snapshot.decode(file.data);
    if (metadata.index !== id.index || metadata.term !== id.term) {
      return { ok: false, what: `it holds index ${metadata.index} of term ${metadata.term}` };
    }
    return { ok: true, snapshot: { ...id, confState: metadata.confState, data: data.slice() } };
  } catch (error) {
    if (error instanceof WireError) return { ok: false, what: error.message };
    throw error;
  }
}

/** Deletes all but the newest files. Throws FatalError. */
export function purgeSnapFiles(disk: Disk, directory: string): void {
  guard(directory, () => {
    const names = disk.readdir(directory).filter((name) => pattern.test(name));
    for (const name of names.slice(0, Math.max(0, names.length - keptSnapFiles))) {
      disk.unlink(`${directory}/${name}`);
    }
  });
}

/** Removes what an interrupted write left. Throws FatalError. */
export function removeTemporarySnapFiles(disk: Disk, directory: string): void {
  guard(directory, () => {
    for (const name of disk.readdir(directory)) {
      if (name.endsWith(".snap.tmp")) disk.unlink(`${directory}/${name}`);
    }
  });
}

function hex16(value: number): string {
  return value.toString(16).padStart(16, "0");
}

function guard<T>(path: string, run: () => T): T {
  try {
    return run();
  } catch (error) {
    throw fatalOfDisk(error, path);
  }
}
