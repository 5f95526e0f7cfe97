// A running member: its parts, made in the order in which they depend on each other and ended in the reverse one.
// What the parts stand on (log store, engine) can be replaced by whoever starts it, which is how the power-cut test
// plants its faults.

import { randomBytes } from "node:crypto";
import { leaveLeadership } from "./api/leadership.ts";
import { MemberApi } from "./api/member-api.ts";
import { AutoPromoter } from "./auto-promoter.ts";
import { firstEntries } from "./bootstrap.ts";
import type { MemberConfig } from "./cli/config.ts";
import { featureGates } from "./cli/feature-gates.ts";
import { openData } from "./data.ts";
import type { Engine } from "./lib/backend.ts";
import type { FatalError } from "./lib/fatal.ts";
import { hexId, noNode } from "./lib/ids.ts";
import type { Logger } from "./lib/log.ts";
import { SeededRandom } from "./lib/random.ts";
import { compatibleVersion } from "./lib/version.ts";
import { realClock } from "./observe/real-clock.ts";
import { createMetrics, type MemberMetrics } from "./observe/registry.ts";
import { peerAnswers } from "./peer-answers.ts";
import { PeerSnapshots } from "./peer-snapshots.ts";
import { Peers, removedError } from "./peers.ts";
import type { LogContents, LogStore } from "./replica/log-store.ts";
import type { Network } from "./replica/options.ts";
import { Replica } from "./replica/replica.ts";
import { FolderSpool } from "./storage/bbolt/spool.ts";
import { openDataDir } from "./storage/data-dir.ts";
import { LmdbEngine } from "./storage/lmdb/engine.ts";
import { WorkerLogStore } from "./storage/wal/worker-log-store.ts";
import { createServices, openSurface } from "./surface.ts";
import { connectWith } from "./tls/connect.ts";
import { openTls } from "./tls/open.ts";
import { VersionMonitor } from "./version-monitor.ts";

export interface MemberOptions {
  readonly config: MemberConfig;
  readonly log: Logger;
  /** Ends the process. */
  readonly onFatal: (error: FatalError) => never;
  readonly onUnexpected: (error: unknown) => never;
  /** Stand between the replica and its log or engine; the plain ones are handed through by default. */
  readonly wrapLog?: (log: LogStore) => LogStore;
  readonly wrapEngine?: (engine: Engine) => Engine;
}

export interface RunningMember {
  /** Resolves when everything that was acknowledged is on disk and all files and sockets are closed. */
  stop(): Promise<void>;
}

/** Flush the overlay at this size, whatever the time (DESIGN: 32 MiB). */
const flushBytesMax = 32 * 1024 * 1024;
export async function startMember(options: MemberOptions): Promise<RunningMember> {
  const { config, log } = options;
  const dataDir = openDataDir(config.dataDir, log);
  const fixtures = `${config.dataDir}/fixtures`;
  const tls = {
    client: await openTls({
      config: config.clientTls,
      listenUrls: config.listenClientUrls,
      fixturesPath: `${fixtures}/client`,
      log,
    }),
    peer: await openTls({
      config: config.peerTls,
      listenUrls: config.listenPeerUrls,
      fixturesPath: `${fixtures}/peer`,
      log,
    }),
  };
  const connect = connectWith(tls.peer?.client);
  const { opened, existing } = await openData(config, dataDir, { connect, log });
  const metrics = createMetrics({
    isExtensive: config.metrics === "extensive",
    features: Object.entries(config.featureGates).map(([name, isOn]) => ({
      name,
      stage: featureGates[name as keyof typeof featureGates].stage,
      isOn,
    })),
  });
  const logStore = new WorkerLogStore({
    memberDir: dataDir.member,
    walDir: config.walDir,
    segmentBytes: config.walSegmentBytes,
    position: opened.position,
    metrics: {
      onWrite({ bytes, writeSeconds, syncSeconds, snapTimes }) {
        metrics.core.walWriteBytes.increment(bytes);
        metrics.core.walWriteSeconds.observe(writeSeconds);
        if (syncSeconds !== undefined) metrics.core.walFsyncSeconds.observe(syncSeconds);
        if (snapTimes !== undefined) {
          metrics.core.snapFsyncSeconds.observe(snapTimes.syncSeconds);
          metrics.core.snapSaveMarshallingSeconds.observe(snapTimes.marshallingSeconds);
          metrics.core.snapSaveTotalSeconds.observe(snapTimes.totalSeconds);
        }
      },
    },
    onFatal: options.onFatal,
  });
  const engine = new LmdbEngine({ memberPath: dataDir.member, onFatal: options.onFatal });
  const { contents } = opened;
  const spool = new FolderSpool(dataDir.snap);
  const snapshots = new PeerSnapshots({
    engine,
    memberPath: dataDir.member,
    snapPath: dataDir.snap,
    spool,
    metrics: metrics.core,
    onFatal: options.onFatal,
  });
  const peers = new Peers({
    config,
    contents,
    metrics: metrics.attachPeers(contents.nodeId),
    log,
    snapshots,
    tls: tls.peer,
    onFatal: options.onFatal,
    onUnexpected: options.onUnexpected,
  });
  const replica = createReplica(options, metrics, {
    contents,
    log: options.wrapLog?.(logStore) ?? logStore,
    engine: options.wrapEngine?.(engine) ?? engine,
    network: peers.transport,
  });
  logIdentity(config, replica, log);
  const api = new MemberApi({
    replica,
    clock: realClock,
    txnOpsMax: config.maxTxnOps,
    requestBytesMax: config.maxRequestBytes,
    quotaBytes: config.quotaBackendBytes ?? 0,
    metrics: metrics.core,
  });
  metrics.attachStatus(() => statusReading(replica, config));
  const services = createServices({ api, calls: peers.calls, config, log, spool });
  snapshots.attach(api);
  await peers.listen({ replica, member: peerAnswers({ api, ...services }) });
  for (const { id, peerUrls } of existing) peers.transport.addRemote(id, peerUrls);
  await new Promise<void>((resolve) => replica.start(resolve));
  const versions = new VersionMonitor({ replica, calls: peers.calls, log });
  const promoter = new AutoPromoter(services.cluster, log);
  const running = [versions.run(), config.autoPromote ? promoter.run() : undefined];
  const surface = await openSurface({
    config,
    log,
    onUnexpected: options.onUnexpected,
    api,
    services,
    metrics,
    tls: tls.client?.server,
  });
  log.info("ready to serve client requests");
  return {
    async stop() {
      versions.stop();
      promoter.stop();
      await leaveLeadership(api, log);
      await surface.stop();
      await Promise.all(running);
      await new Promise<void>((resolve) => replica.stop(resolve));
      await peers.stop();
      dataDir.unlock();
      log.info("closed etcd server", { name: config.name, "data-dir": config.dataDir });
    },
  };
}

function createReplica(
  { config, log, onFatal }: MemberOptions,
  metrics: MemberMetrics,
  parts: {
    readonly contents: LogContents;
    readonly log: LogStore;
    readonly engine: Engine;
    readonly network: Network;
  },
): Replica {
  const { nodeId } = parts.contents;
  return new Replica({
    ...parts,
    nodeId,
    bootstrap: firstEntries(config, parts.contents),
    name: config.name,
    clientUrls: config.advertiseClientUrls,
    onRemoved: () => onFatal(removedError(parts.contents)),
    learnersMax: config.learnersMax,
    clock: realClock,
    startMs: Date.now(),
    random: new SeededRandom(randomBytes(4).readUInt32LE()),
    logger: log,
    heartbeatIntervalMs: config.heartbeatIntervalMs,
    electionTicks: Math.floor(config.electionTimeoutMs / config.heartbeatIntervalMs),
    preVote: config.preVote,
    snapshotCount: config.snapshotCount,
    snapshotCatchupEntries: config.snapshotCatchupEntries,
    flushIntervalMs: config.backendBatchIntervalMs,
    flushBytesMax,
    requestBytesMax: config.maxRequestBytes,
    compactionBatchRecords: config.compactionBatchLimit,
    compactionPauseMs: config.compactionSleepIntervalMs,
    progressNotifyIntervalMs: config.watchProgressNotifyIntervalMs,
    hasLeaseCheckpoints: config.featureGates.LeaseCheckpoint,
    autoCompaction: config.autoCompaction,
    slowApplyMs: config.warningApplyDurationMs,
    metrics: metrics.core,
  });
}

function statusReading(
  replica: Replica,
  config: MemberConfig,
): Parameters<MemberMetrics["attachStatus"]>[0] extends () => infer R ? R : never {
  const { store, hub } = replica;
  const { sizeBytes, sizeInUseBytes } = replica.sizes;
  return {
    memberId: replica.nodeId,
    clusterVersion: replica.members.clusterVersion?.split(".").slice(0, 2).join("."),
    hasLeader: replica.leader !== noNode,
    isLeader: replica.isLeader,
    isLearner: replica.isLearner,
    isInstalling: replica.isInstalling,
    isDefragmenting: replica.isDefragmenting,
    committedIndex: replica.committedIndex,
    appliedIndex: replica.appliedIndex,
    pendingProposals: replica.pendingProposals,
    quotaBackendBytes: config.quotaBackendBytes ?? 0,
    dbSizeBytes: sizeBytes,
    dbSizeInUseBytes: sizeInUseBytes,
    openReadTransactions: store.pinCount,
    currentRevision: store.currentRevision,
    compactRevision: store.compactRevision,
    watchStreams: hub.streamCount,
    watchers: hub.watcherCount,
    slowWatchers: hub.laggingCount,
    pendingEvents: 0,
    lastCompactionSeconds: 0,
    authRevision: 1,
  };
}

function logIdentity(config: MemberConfig, replica: Replica, log: Logger): void {
  log.info("starting an etcd server", {
    "etcd-version": compatibleVersion,
    name: config.name,
    "data-dir": config.dataDir,
    "local-member-id": hexId(replica.nodeId),
    "cluster-id": hexId(replica.clusterId),
    "snapshot-count": config.snapshotCount,
    "initial-advertise-peer-urls": config.initialAdvertisePeerUrls,
    "advertise-client-urls": config.advertiseClientUrls,
  });
}
