// What a member finds in its data directory: its log, made when there is none; the store of a real etcd that it takes
// over; and, when it is told so, the end of the cluster that it was part of.

import { beginMember } from "./bootstrap.ts";
import type { MemberConfig } from "./cli/config.ts";
import type { Logger } from "./lib/log.ts";
import type { Member } from "./membership/member.ts";
import { forceNewCluster } from "./migrate/force-new-cluster.ts";
import { planTakeover, takeOver } from "./migrate/import-store.ts";
import { storedState } from "./migrate/stored-state.ts";
import type { Connect } from "./peer/dialer.ts";
import { checkOwnCluster } from "./running-cluster.ts";
import type { DataDir } from "./storage/data-dir.ts";
import { nodeDisk } from "./storage/disk.ts";
import { finishInstall } from "./storage/lmdb/store-folder.ts";
import { createLog, logExists, type OpenedLog, openLog, walDirectory } from "./storage/wal/open-log.ts";

export interface MemberData {
  readonly opened: OpenedLog;
  /** The members of the cluster that a member without data joins. */
  readonly existing: readonly Member[];
}

/** Leaves the live store closed. Rejects with a FatalError, or an Error for what cannot begin. */
export async function openData(
  config: MemberConfig,
  dataDir: DataDir,
  { connect, log }: { readonly connect: Connect; readonly log: Logger },
): Promise<MemberData> {
  const { walDir, walSegmentBytes: segmentBytes } = config;
  const location = { disk: nodeDisk, memberDir: dataDir.member, walDir, segmentBytes };
  if (!logExists(location)) {
    const { nodeId, clusterId, existing } = await beginMember(config, connect, log);
    return { opened: createLog(location, { nodeId, clusterId }), existing };
  }
  const place = { memberPath: dataDir.member, walDirectory: walDirectory(location) };
  const takeover = await planTakeover(place, log);
  const opened = openLog(location);
  if (!config.forceNewCluster) {
    const { initialAdvertisePeerUrls: peerUrls, initialCluster, name } = config;
    const others = initialCluster.filter((member) => member.name !== name).map(({ url }) => url);
    const { clusterId } = opened.contents;
    await checkOwnCluster({ clusterId, peerUrls, dataDir: config.dataDir }, others, connect);
  }
  finishInstall(dataDir.member, opened.contents.snapshot.index);
  if (opened.repaired !== undefined)
    log.warn("repaired the torn tail of the write-ahead log", opened.repaired);
  if (takeover !== undefined) await takeOver(place, takeover, opened.contents, log);
  if (!config.forceNewCluster) return { opened, existing: [] };
  const stored = await storedState(dataDir.member);
  return { opened: forceNewCluster(location, opened, stored, log), existing: [] };
}
