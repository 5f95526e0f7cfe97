// Makes the file of a snapshot while everything goes on: for a client, or for a member that is too far behind.

import type { SnapshotSource } from "../replica/snapshot-source.ts";
import { type MemberApi, readSlice } from "./member-api.ts";
import type { SnapshotFile, SnapshotSpool } from "./snapshot-port.ts";

export interface BuiltSnapshot {
  readonly file: SnapshotFile;
  /** Where the member stood. */
  readonly state: SnapshotSource["state"];
}

/** Undefined when nobody wants it any more. Rejects with the disk's error, or an ApiError when the store was replaced. */
export async function buildSnapshot(
  api: MemberApi,
  spool: SnapshotSpool,
  isCancelled: () => boolean,
): Promise<BuiltSnapshot | undefined> {
  const { replica } = api;
  const { clock, metrics } = api.options;
  const startMs = clock.nowMs();
  const writer = await spool.create(replica.sizes.sizeInUseBytes);
  let built: BuiltSnapshot | undefined;
  try {
    if (isCancelled()) return undefined;
    const checkStore = api.storeCheck();
    const source = replica.openSnapshot();
    try {
      while (!isCancelled()) {
        const slice = source.next(readSlice);
        if (slice === undefined) {
          built = { file: await writer.finish(), state: source.state };
          metrics.backendSnapshotSeconds.observe((clock.nowMs() - startMs) / 1000);
          return built;
        }
        await writer.write(slice);
        await api.givingWay();
        checkStore();
      }
      return undefined;
    } finally {
      source.close();
    }
  } finally {
    if (built === undefined) await writer.discard();
  }
}
