// A running member: its parts, made in the order in which they depend on each other and ended in the reverse one.
// What the parts stand on (log store, engine) can be replaced by whoever starts it, which is how the power-cut test
// plants its faults.

import { createHash, randomBytes } from "node:crypto";
import { ClusterService } from "./api/cluster-service.ts";
import { KvService } from "./api/kv-service.ts";
import { LeaderMonitor } from "./api/leader-monitor.ts";
import { LeaseService } from "./api/lease-service.ts";
import { MaintenanceService } from "./api/maintenance-service.ts";
import { MemberApi } from "./api/member-api.ts";
import { SnapshotService } from "./api/snapshot-service.ts";
import { WatchService } from "./api/watch-service.ts";
import { bootstrapProblem, type MemberConfig } from "./cli/config.ts";
import { featureGates } from "./cli/feature-gates.ts";
import { HealthService } from "./grpc/health.ts";
import { memberRoutes } from "./grpc/member-routes.ts";
import { GrpcServer } from "./grpc/server.ts";
import { createHttpServer, type MemberHttpServer } from "./http/server.ts";
import type { AlarmName, HttpStatus } from "./http/status-port.ts";
import type { Engine } from "./lib/backend.ts";
import { utf8 } from "./lib/bytes.ts";
import type { FatalError } from "./lib/fatal.ts";
import { hexId, noNode } from "./lib/ids.ts";
import type { Logger } from "./lib/log.ts";
import { SeededRandom } from "./lib/random.ts";
import { compatibleVersion } from "./lib/version.ts";
import { openListeners } from "./listeners.ts";
import { bootstrapClusterId, bootstrapMemberId } from "./membership/identity.ts";
import { encodeMember, type Member as MemberRecord } from "./membership/member.ts";
import { realClock } from "./observe/real-clock.ts";
import { createMetrics, type MemberMetrics, metricsContentType } from "./observe/registry.ts";
import type { LogContents, LogStore } from "./replica/log-store.ts";
import { Replica } from "./replica/replica.ts";
import { FolderSpool } from "./storage/bbolt/spool.ts";
import { type DataDir, openDataDir } from "./storage/data-dir.ts";
import { nodeDisk } from "./storage/disk.ts";
import { LmdbEngine } from "./storage/lmdb/engine.ts";
import { createLog, logExists, type OpenedLog, openLog } from "./storage/wal/open-log.ts";
import { WorkerLogStore } from "./storage/wal/worker-log-store.ts";
import { codecs } from "./wire/codecs.ts";
import type { Entry } from "./wire/raft.ts";
import { raftCodecs } from "./wire/raft-codec.ts";
import { AlarmType } from "./wire/rpc.ts";
import { collectYoungGarbage } from "./young-garbage.ts";

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
/** How long calls under way may take to finish when the member stops. */
const drainGraceMs = 2000;

export async function startMember(options: MemberOptions): Promise<RunningMember> {
  const { config, log } = options;
  const dataDir = openDataDir(config.dataDir, log);
  const opened = openOrCreateLog(config, dataDir, log);
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
      onWrite({ bytes, writeSeconds, syncSeconds }) {
        metrics.core.walWriteBytes.increment(bytes);
        metrics.core.walWriteSeconds.observe(writeSeconds);
        if (syncSeconds !== undefined) metrics.core.walFsyncSeconds.observe(syncSeconds);
      },
    },
    onFatal: options.onFatal,
  });
  const engine = new LmdbEngine({ memberPath: dataDir.member, onFatal: options.onFatal });
  const replica = createReplica(options, metrics, {
    contents: opened.contents,
    log: options.wrapLog?.(logStore) ?? logStore,
    engine: options.wrapEngine?.(engine) ?? engine,
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
  const ready = new Promise<void>((resolve) => replica.start(resolve));
  await ready;
  const surface = await openSurface({ options, api, metrics, snapPath: dataDir.snap });
  log.info("ready to serve client requests");
  return {
    async stop() {
      await surface.stop();
      await new Promise<void>((resolve) => replica.stop(resolve));
      dataDir.unlock();
      log.info("closed etcd server", { name: config.name, "data-dir": config.dataDir });
    },
  };
}

function openOrCreateLog(config: MemberConfig, dataDir: DataDir, log: Logger): OpenedLog {
  const { walDir, walSegmentBytes: segmentBytes } = config;
  const location = { disk: nodeDisk, memberDir: dataDir.member, walDir, segmentBytes };
  if (!logExists(location)) {
    const problem = bootstrapProblem(config);
    if (problem !== undefined) throw new Error(problem);
    const nodeId = bootstrapMemberId(ownPeerUrls(config), config.initialClusterToken, sha1);
    return createLog(location, { nodeId, clusterId: bootstrapClusterId([nodeId], sha1) });
  }
  const opened = openLog(location);
  if (opened.repaired !== undefined)
    log.warn("repaired the torn tail of the write-ahead log", opened.repaired);
  return opened;
}

function createReplica(
  { config, log }: MemberOptions,
  metrics: MemberMetrics,
  parts: { readonly contents: LogContents; readonly log: LogStore; readonly engine: Engine },
): Replica {
  const { nodeId } = parts.contents;
  return new Replica({
    ...parts,
    nodeId,
    bootstrap: bootstrapEntries(config, parts.contents),
    name: config.name,
    clientUrls: config.advertiseClientUrls,
    network: { send: (messages) => refuseToSend(messages.length) },
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

/** A member without data begins with its own addition to the cluster, in the bytes that etcd writes. */
function bootstrapEntries(config: MemberConfig, contents: LogContents): readonly Entry[] {
  const { hardState, snapshot, entries, nodeId } = contents;
  if (hardState.term > 0 || snapshot.index > 0 || entries.length > 0) return [];
  const member: MemberRecord = {
    id: nodeId,
    name: config.name,
    peerUrls: ownPeerUrls(config),
    clientUrls: [],
    isLearner: false,
  };
  const data = raftCodecs.ConfChange.encode({
    id: 0n,
    type: "ConfChangeAddNode",
    nodeId,
    context: utf8(encodeMember(member)),
  });
  return [{ type: "EntryConfChange", term: 1, index: 1, data }];
}

function ownPeerUrls(config: MemberConfig): readonly string[] {
  return config.initialCluster.filter(({ name }) => name === config.name).map(({ url }) => url);
}

function refuseToSend(count: number): void {
  if (count > 0) throw new Error(`a member without peers has ${count} messages to send`);
}

interface Surface {
  stop(): Promise<void>;
}

/** Everything clients connect to. */
async function openSurface({
  options,
  api,
  metrics,
  snapPath,
}: {
  readonly options: MemberOptions;
  readonly api: MemberApi;
  readonly metrics: MemberMetrics;
  /** Where snapshots are spooled. */
  readonly snapPath: string;
}): Promise<Surface> {
  const { config, log } = options;
  const { replica } = api;
  const monitor = new LeaderMonitor(replica, realClock, config.electionTimeoutMs);
  const health = new HealthService(log);
  const services = {
    kv: new KvService(api, collectYoungGarbage),
    watch: new WatchService(api),
    lease: new LeaseService(api, newLeaseId),
    maintenance: new MaintenanceService(api),
    snapshot: new SnapshotService({ api, spool: new FolderSpool(snapPath), log }),
    cluster: new ClusterService(api),
  };
  const http = (kind: "client" | "metrics"): Promise<MemberHttpServer> =>
    createHttpServer({
      kind,
      member: httpStatus(api),
      log,
      metrics: metrics.health,
      scrape: () => metrics.scrape(),
      scrapeContentType: metricsContentType,
      corsOrigins: config.corsOrigins,
      hostWhitelist: config.hostWhitelist,
    });
  const clientHttp = await http("client");
  const metricsHttp = await http("metrics");
  const grpc = new GrpcServer({
    routes: [...memberRoutes(services), ...health.routes()],
    leader: monitor,
    metrics: metrics.grpc,
    log,
    http: (request) => clientHttp.inject(request),
    onUnexpected: options.onUnexpected,
    maxRequestBytes: config.maxRequestBytes,
    maxConcurrentStreams: config.maxConcurrentStreams,
    keepaliveIntervalMs: config.grpcKeepaliveIntervalMs,
    keepaliveTimeoutMs: config.grpcKeepaliveTimeoutMs,
    keepaliveMinTimeMs: config.grpcKeepaliveMinTimeMs,
    warningUnaryRequestDurationMs: config.warningUnaryRequestDurationMs,
  });
  const listeners = await openListeners(config, { grpc, http: clientHttp, metrics: metricsHttp }, log);
  health.setServing(true);
  return {
    async stop() {
      health.setServing(false);
      listeners.close();
      monitor.stop();
      await Promise.all([
        grpc.stop(drainGraceMs),
        clientHttp.stop(drainGraceMs),
        metricsHttp.stop(drainGraceMs),
      ]);
    },
  };
}

/** 63 random bits, never zero. */
function newLeaseId(): bigint {
  return BigInt.asUintN(63, randomBytes(8).readBigUInt64LE()) || 1n;
}

function sha1(bytes: Uint8Array): Uint8Array {
  return createHash("sha1").update(bytes).digest();
}

function httpStatus(api: MemberApi): HttpStatus {
  const { replica } = api;
  const firstKey = codecs.RangeRequest.create({ key: Uint8Array.of(0), limit: 1, keysOnly: true });
  return {
    alarms: () =>
      replica.applier.alarms
        .raised()
        .map(({ alarm }): AlarmName => (alarm === AlarmType.NOSPACE ? "NOSPACE" : "CORRUPT")),
    hasLeader: () => replica.leader !== noNode,
    isLearner: () => isLearner(replica),
    async probeRead({ isSerializable }) {
      if (!isSerializable) await api.readBarrier();
      replica.store.range(firstKey);
    },
    clusterVersion: () => replica.members.clusterVersion,
  };
}

function isLearner(replica: Replica): boolean {
  return replica.members.get(replica.nodeId)?.isLearner ?? false;
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
    isLearner: isLearner(replica),
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
