// `snapshot status`: what a snapshot file holds, in the forms in which etcdutl prints it.

import { textOf, utf8 } from "../lib/bytes.ts";
import { updateCrc32c } from "../lib/crc32c.ts";
import { keyOfRecord } from "../mvcc/records.ts";
import { isTombstoneKey, mainOf, recordKeyBytes } from "../mvcc/revision.ts";
import { BoltReader } from "../storage/bbolt/reader.ts";
import { StoredSnapshot } from "../storage/bbolt/snapshot-file.ts";
import { nodeDisk } from "../storage/disk.ts";

export interface SnapshotStatus {
  /** CRC-32C over names, keys and values of all buckets: etcdutl's, not that of the Hash call. */
  readonly hash: number;
  readonly revision: number;
  /** Keys that exist at the revision. */
  readonly totalKey: number;
  readonly totalSize: number;
  /** Of the storage; empty in a snapshot of etcd 3.5. */
  readonly version: string;
}

export const outputFormats = ["fields", "json", "simple", "table"] as const;
export type OutputFormat = (typeof outputFormats)[number];

/** Throws an Error that says what is wrong with the file. */
export function snapshotStatus(path: string): SnapshotStatus {
  const file = new StoredSnapshot(nodeDisk, path);
  try {
    return statusOf(new BoltReader(file));
  } finally {
    file.close();
  }
}

function statusOf(reader: BoltReader): SnapshotStatus {
  let hash = 0;
  let revision = 0;
  let version = "";
  const keys = new Set<string>();
  for (const bucket of reader.bucketNames) {
    hash = updateCrc32c(hash, utf8(bucket));
    for (const { key, value } of reader.records(bucket)) {
      hash = updateCrc32c(updateCrc32c(hash, key), value);
      if (bucket === "meta" && textOf(key) === "storageVersion") version = textOf(value);
      if (bucket !== "key") continue;
      if (key.length < recordKeyBytes) throw new Error(`cannot parse revision key: [${key.join(" ")}]`);
      revision = mainOf(key);
      const userKey = Buffer.from(keyOfRecord(value)).toString("latin1");
      if (isTombstoneKey(key)) keys.delete(userKey);
      else keys.add(userKey);
    }
  }
  return { hash, revision, totalKey: keys.size, totalSize: reader.bytes, version };
}

export function formatStatus(status: SnapshotStatus, format: OutputFormat): string {
  const { hash, revision, totalKey, totalSize, version } = status;
  switch (format) {
    case "json":
      return JSON.stringify({ hash, revision, totalKey, totalSize, version });
    case "fields":
      return [
        `"Hash" : ${hash}`,
        `"Revision" : ${revision}`,
        `"Keys" : ${totalKey}`,
        `"Size" : ${totalSize}`,
        `"Version" : ${version}`,
      ].join("\n");
    case "simple":
      return rowOf(status).join(", ");
    case "table":
      return tableOf(["HASH", "REVISION", "TOTAL KEYS", "TOTAL SIZE", "VERSION"], rowOf(status));
  }
}

function rowOf({ hash, revision, totalKey, totalSize, version }: SnapshotStatus): readonly string[] {
  return [hash.toString(16), String(revision), String(totalKey), humanBytes(totalSize), version];
}

function tableOf(header: readonly string[], row: readonly string[]): string {
  const widths = header.map((title, i) => Math.max(title.length, (row[i] as string).length));
  const rule = `+${widths.map((width) => "-".repeat(width + 2)).join("+")}+`;
  const line = (cells: readonly string[], pad: (text: string, width: number) => string): string =>
    `|${cells.map((cell, i) => ` ${pad(cell, widths[i] as number)} `).join("|")}|`;
  return [rule, line(header, centered), rule, line(row, (text, width) => text.padStart(width)), rule].join(
    "\n",
  );
}

function centered(text: string, width: number): string {
  const before = Math.floor((width - text.length) / 2);
  return text.padStart(text.length + before).padEnd(width);
}

/** Powers of ten with one digit behind the point below ten. */
export function humanBytes(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  if (bytes < 10) return `${bytes} B`;
  const power = Math.min(units.length - 1, Math.floor(Math.log10(bytes) / 3));
  const value = Math.floor((bytes / 1000 ** power) * 10 + 0.5) / 10;
  return `${value < 10 ? value.toFixed(1) : halfToEven(value)} ${units[power]}`;
}

/** How Go prints a number without digits behind the point. */
function halfToEven(value: number): number {
  const below = Math.floor(value);
  return value - below === 0.5 ? below + (below % 2) : Math.round(value);
}
