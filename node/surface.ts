// Everything clients connect to: services, the gRPC server and the HTTP server before them, and the listeners.

import { createHash, randomBytes } from "node:crypto";
import { answerBytesMax } from "./answer-bytes.ts";
import { AnswerMemory } from "./api/answer-memory.ts";
import { ClusterService } from "./api/cluster-service.ts";
import { DowngradeService } from "./api/downgrade-service.ts";
import { KvService } from "./api/kv-service.ts";
import { LeaderAsker } from "./api/leader-calls.ts";
import { LeaderMonitor } from "./api/leader-monitor.ts";
import { LeaseService } from "./api/lease-service.ts";
import { MaintenanceService } from "./api/maintenance-service.ts";
import type { MemberApi } from "./api/member-api.ts";
import type { SnapshotSpool } from "./api/snapshot-port.ts";
import { SnapshotService } from "./api/snapshot-service.ts";
import { WatchService } from "./api/watch-service.ts";
import type { MemberConfig } from "./cli/config.ts";
import { HealthService } from "./grpc/health.ts";
import { refusedOnLearners } from "./grpc/learner-gate.ts";
import { type MemberServices, memberRoutes } from "./grpc/member-routes.ts";
import { GrpcServer } from "./grpc/server.ts";
import { Gateway } from "./http/gateway/gateway.ts";
import { createHttpServer, type MemberHttpServer } from "./http/server.ts";
import type { AlarmName, HttpStatus } from "./http/status-port.ts";
import { noNode } from "./lib/ids.ts";
import type { Logger } from "./lib/log.ts";
import { openListeners } from "./listeners.ts";
import { realClock } from "./observe/real-clock.ts";
import { type MemberMetrics, metricsContentType } from "./observe/registry.ts";
import type { PeerCalls } from "./peer/peer-calls.ts";
import type { Credentials } from "./tls/credentials.ts";
import { codecs } from "./wire/codecs.ts";
import { AlarmType } from "./wire/rpc.ts";
import { collectYoungGarbage } from "./young-garbage.ts";

/** How long calls under way may take to finish when the member stops. */
const drainGraceMs = 2000;

export interface ServicesOptions {
  readonly api: MemberApi;
  readonly calls: PeerCalls;
  readonly config: MemberConfig;
  readonly log: Logger;
  readonly spool: SnapshotSpool;
}

/** The services of a member, which clients and other members ask. */
export function createServices({ api, calls, config, log, spool }: ServicesOptions): MemberServices {
  const leader = new LeaderAsker({ replica: api.replica, clock: realClock });
  return {
    kv: new KvService(api, new AnswerMemory(answerBytesMax()), collectYoungGarbage),
    watch: new WatchService(api),
    lease: new LeaseService({ api, leader, calls, newLeaseId }),
    maintenance: new MaintenanceService(api),
    downgrade: new DowngradeService(api),
    snapshot: new SnapshotService({ api, spool, log }),
    cluster: new ClusterService({
      api,
      leader,
      calls,
      isStrict: config.strictReconfigCheck,
      sha1,
      nowSeconds: () => Date.now() / 1000,
    }),
  };
}

export interface Surface {
  stop(): Promise<void>;
}

export interface SurfaceOptions {
  readonly config: MemberConfig;
  readonly log: Logger;
  readonly onUnexpected: (error: unknown) => never;
  readonly api: MemberApi;
  readonly services: MemberServices;
  readonly metrics: MemberMetrics;
  /** Of the client side; undefined without a certificate. */
  readonly tls: Credentials | undefined;
}

export async function openSurface(options: SurfaceOptions): Promise<Surface> {
  const { config, log, api, services, metrics, tls } = options;
  const { replica } = api;
  const monitor = new LeaderMonitor(replica, realClock, config.electionTimeoutMs);
  const health = new HealthService(log);
  const http = (kind: "client" | "metrics", gateway?: Gateway): Promise<MemberHttpServer> =>
    createHttpServer({
      kind,
      gateway,
      member: httpStatus(api),
      log,
      metrics: metrics.health,
      scrape: () => metrics.scrape(),
      scrapeContentType: metricsContentType,
      corsOrigins: config.corsOrigins,
      hostWhitelist: config.hostWhitelist,
    });
  const grpc = new GrpcServer({
    routes: refusedOnLearners([...memberRoutes(services), ...health.routes()], () => replica.isLearner),
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
  const { maxRequestBytes } = config;
  const gateway = config.enableGrpcGateway ? new Gateway({ calls: grpc.local, maxRequestBytes }) : undefined;
  const clientHttp = await http("client", gateway);
  const metricsHttp = await http("metrics");
  const listeners = await openListeners(config, { grpc, http: clientHttp, metrics: metricsHttp, tls }, log);
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
    isLearner: () => replica.isLearner,
    async probeRead({ isSerializable }) {
      if (!isSerializable) await api.readBarrier();
      replica.store.range(firstKey);
    },
    clusterVersion: () => replica.members.clusterVersion,
    storageVersion: () => replica.applier.storageVersion,
  };
}
