// From settings to one typed configuration of a member, with etcd's checks and texts.

import { type FeatureGate, type FeatureGates, resolveGates, unbuiltGates } from "./feature-gates.ts";
import { flagTable } from "./flags.ts";
import { defaultOf, reader } from "./reader.ts";
import type { SameUrls } from "./same-urls.ts";
import { ConfigError, type FlagValue, type Notice, type Settings } from "./sources.ts";
import { buildClientTls, buildPeerTls, type TlsConfig } from "./tls-config.ts";
import { type EndpointUrl, isBindable, parseDurationMs, parseUrls } from "./values.ts";

export type AutoCompaction =
  | { readonly mode: "periodic"; readonly retentionMs: number }
  | { readonly mode: "revision"; readonly retentionRevisions: number };

export const logLevels = ["debug", "info", "warn", "error", "dpanic", "panic", "fatal"] as const;
export type LogLevel = (typeof logLevels)[number];

export interface LogConfig {
  readonly level: LogLevel;
  readonly format: "json" | "console";
  /** "stderr", "stdout" or paths; "default" is already resolved. */
  readonly outputs: readonly string[];
}

export interface InitialMember {
  readonly name: string;
  readonly url: string;
}

export interface MemberConfig {
  readonly name: string;
  readonly dataDir: string;
  /** Undefined: inside the data directory. */
  readonly walDir: string | undefined;
  readonly walSegmentBytes: number;

  readonly listenClientUrls: readonly EndpointUrl[];
  /** Not empty: HTTP is served here, and the client URLs are gRPC only. */
  readonly listenClientHttpUrls: readonly EndpointUrl[];
  readonly listenMetricsUrls: readonly EndpointUrl[];
  readonly listenPeerUrls: readonly EndpointUrl[];
  readonly advertiseClientUrls: readonly string[];
  readonly initialAdvertisePeerUrls: readonly string[];
  /** As given, in order; read only by a member that has no data yet. */
  readonly initialCluster: readonly InitialMember[];
  readonly initialClusterToken: string;
  readonly initialClusterState: "new" | "existing";
  readonly learnersMax: number;
  readonly autoPromote: boolean;
  readonly strictReconfigCheck: boolean;
  readonly enableGrpcGateway: boolean;
  readonly forceNewCluster: boolean;
  readonly raftReadTimeoutMs: number;
  readonly raftWriteTimeoutMs: number;

  readonly heartbeatIntervalMs: number;
  readonly electionTimeoutMs: number;
  readonly initialElectionTickAdvance: boolean;
  readonly preVote: boolean;
  readonly snapshotCount: number;
  readonly snapshotCatchupEntries: number;

  /** Undefined: no quota. */
  readonly quotaBackendBytes: number | undefined;
  readonly backendBatchIntervalMs: number;
  readonly compactionBatchLimit: number;
  readonly compactionSleepIntervalMs: number;
  /** Undefined: off. */
  readonly autoCompaction: AutoCompaction | undefined;

  readonly maxTxnOps: number;
  readonly maxRequestBytes: number;
  readonly maxConcurrentStreams: number;
  /** Zero: connections are not pinged. */
  readonly grpcKeepaliveMinTimeMs: number;
  readonly grpcKeepaliveIntervalMs: number;
  readonly grpcKeepaliveTimeoutMs: number;
  readonly socketReusePort: boolean;
  readonly corsOrigins: readonly string[];
  readonly hostWhitelist: readonly string[];

  readonly watchProgressNotifyIntervalMs: number;
  readonly warningApplyDurationMs: number;
  readonly warningUnaryRequestDurationMs: number;
  readonly featureGates: FeatureGates;

  readonly clientTls: TlsConfig;
  readonly peerTls: TlsConfig;

  readonly metrics: "basic" | "extensive";
  readonly log: LogConfig;
  /** Undefined: the default path where it exists. */
  readonly terminationLog: string | undefined;
}

const electionTimeoutMsMax = 50_000;
const quotaBytesDefault = 2 * 1024 * 1024 * 1024;
const progressIntervalMsMin = 100;
const hourMs = 3_600_000;

/** The log's own settings come first: every later complaint is written through them. */
export function buildLogConfig(settings: Settings): LogConfig {
  const get = reader(settings);
  const logger = get<string>("logger");
  if (logger === "capnslog") throw new ConfigError("--logger=capnslog is removed in v3.5");
  if (logger !== "zap") throw new ConfigError(`unknown logger option "${logger}"`);
  const outputs = get<readonly string[]>("log-outputs");
  if (outputs.length > 1 && outputs.includes("default")) {
    throw new ConfigError('multi logoutput for "default" is not supported yet');
  }
  if (outputs.includes("systemd/journal")) {
    throw new ConfigError("--log-outputs=systemd/journal is not implemented yet");
  }
  const format = get<string>("log-format");
  if (format !== "json" && format !== "console") {
    throw new ConfigError(`unknown log format: ${format}, supported values json, console`);
  }
  const level = get<string>("log-level");
  if (!isLogLevel(level)) throw new ConfigError(`unknown log level: ${level}`);
  const resolved = outputs.length === 0 ? ["default"] : outputs;
  return { level, format, outputs: resolved.map((output) => (output === "default" ? "stderr" : output)) };
}

/** Everything else. Throws ConfigError with the text that etcd would log. */
export function buildConfig(settings: Settings, notices: Notice[]): MemberConfig {
  const get = reader(settings);
  refuseUnbuilt(settings);
  refuseBothNames(settings);
  const featureGates = buildGates(settings);

  const listenClientUrls = get<readonly EndpointUrl[]>("listen-client-urls");
  const listenClientHttpUrls = get<readonly EndpointUrl[]>("listen-client-http-urls");
  const listenMetricsUrls = get<readonly EndpointUrl[]>("listen-metrics-urls");
  const listenPeerUrls = get<readonly EndpointUrl[]>("listen-peer-urls");
  const advertiseClient = get<readonly EndpointUrl[]>("advertise-client-urls");
  const advertisePeer = get<readonly EndpointUrl[]>("initial-advertise-peer-urls");
  checkUrls([listenPeerUrls, listenClientUrls, listenClientHttpUrls, listenMetricsUrls], {
    advertiseClient,
    advertisePeer,
  });
  if (listenClientHttpUrls.length === 0) {
    notices.push({
      level: "warn",
      message: "Running http and grpc server on single port. This is not recommended for production.",
      fields: {},
    });
  }

  const heartbeatIntervalMs = get<number>("heartbeat-interval");
  const electionTimeoutMs = get<number>("election-timeout");
  checkTimes(heartbeatIntervalMs, electionTimeoutMs);
  if (settings.has("listen-client-urls") && !settings.has("advertise-client-urls")) {
    throw new ConfigError("--advertise-client-urls is required when --listen-client-urls is set explicitly");
  }

  const name = get<string>("name");
  if (name === "default") {
    notices.push({
      level: "warn",
      message: "it isn't recommended to use default name, please set a value for --name",
      fields: { name },
    });
  }
  const dataDir = get<string>("data-dir");
  const walDir = get<string>("wal-dir");
  const terminationLog = get<string>("termination-log");
  const quota = get<number>("quota-backend-bytes");
  const progressIntervalMs = get<number>("watch-progress-notify-interval") || 10 * 60_000;

  return {
    name,
    dataDir: dataDir === "" ? `${name}.etcd` : dataDir,
    walDir: walDir === "" ? undefined : walDir,
    walSegmentBytes: get("wal-segment-bytes"),
    listenClientUrls,
    listenClientHttpUrls,
    listenMetricsUrls,
    listenPeerUrls,
    advertiseClientUrls: advertiseClient.map((url) => url.text),
    initialAdvertisePeerUrls: advertisePeer.map((url) => url.text),
    initialCluster: buildInitialCluster(settings, name, advertisePeer),
    initialClusterToken: get("initial-cluster-token"),
    initialClusterState: get("initial-cluster-state"),
    learnersMax: get("max-learners"),
    autoPromote: get("auto-promote"),
    strictReconfigCheck: get("strict-reconfig-check"),
    enableGrpcGateway: get("enable-grpc-gateway"),
    forceNewCluster: get("force-new-cluster"),
    raftReadTimeoutMs: get("raft-read-timeout"),
    raftWriteTimeoutMs: get("raft-write-timeout"),
    heartbeatIntervalMs,
    electionTimeoutMs,
    initialElectionTickAdvance: get("initial-election-tick-advance"),
    preVote: get("pre-vote"),
    snapshotCount: get("snapshot-count"),
    snapshotCatchupEntries: get("snapshot-catchup-entries"),
    quotaBackendBytes: quota < 0 ? undefined : quota === 0 ? quotaBytesDefault : quota,
    backendBatchIntervalMs: get<number>("backend-batch-interval") || 100,
    compactionBatchLimit: get<number>("compaction-batch-limit") || 1000,
    compactionSleepIntervalMs: get<number>("compaction-sleep-interval") || 10,
    autoCompaction: buildAutoCompaction(get("auto-compaction-mode"), get("auto-compaction-retention")),
    maxTxnOps: get("max-txn-ops"),
    maxRequestBytes: get("max-request-bytes"),
    maxConcurrentStreams: get("max-concurrent-streams"),
    grpcKeepaliveMinTimeMs: get("grpc-keepalive-min-time"),
    grpcKeepaliveIntervalMs: get("grpc-keepalive-interval"),
    grpcKeepaliveTimeoutMs: get("grpc-keepalive-timeout"),
    socketReusePort: get("socket-reuse-port"),
    corsOrigins: get("cors"),
    hostWhitelist: get("host-whitelist"),
    watchProgressNotifyIntervalMs: Math.max(progressIntervalMs, progressIntervalMsMin),
    warningApplyDurationMs: get("warning-apply-duration"),
    warningUnaryRequestDurationMs: get("warning-unary-request-duration"),
    featureGates,
    clientTls: buildClientTls(settings),
    peerTls: buildPeerTls(settings),
    metrics: get<string>("metrics") === "extensive" ? "extensive" : "basic",
    log: buildLogConfig(settings),
    terminationLog: terminationLog === "" ? undefined : terminationLog,
  };
}

/** What is wrong with this member's part of the initial cluster, or undefined. */
export async function ownMemberProblem(
  {
    name,
    initialCluster,
    initialAdvertisePeerUrls: advertised,
  }: Pick<MemberConfig, "name" | "initialCluster" | "initialAdvertisePeerUrls">,
  sameUrls: SameUrls,
): Promise<string | undefined> {
  const own = initialCluster.filter((member) => member.name === name).map((member) => member.url);
  if (own.length === 0) {
    return `couldn't find local name "${name}" in the initial cluster configuration`;
  }
  const difference = await sameUrls.difference(advertised, own);
  if (difference === undefined) return undefined;
  const sorted = [...advertised].sort();
  const named = (urls: readonly string[]): string => urls.map((url) => `${name}=${url}`).join(",");
  const notAdvertised = own.filter((url) => !advertised.includes(url));
  if (notAdvertised.length > 0) {
    return `--initial-cluster has ${named(notAdvertised)} but missing from --initial-advertise-peer-urls=${sorted.join(",")} (${difference})`;
  }
  // etcd names all advertised URLs here, those that are missing too.
  const notNamed = sorted.filter((url) => !own.includes(url));
  if (notNamed.length > 0) {
    return `--initial-advertise-peer-urls has ${notNamed.join(",")} but missing from --initial-cluster=${named(sorted)}`;
  }
  return `failed to resolve ${sorted.join(",")} to match --initial-cluster=${named(sorted)} (${difference})`;
}

function refuseUnbuilt(settings: Settings): void {
  for (const [name, value] of settings) {
    const spec = flagTable.get(name);
    if (spec?.support !== "refused" || isSame(value, defaultOf(name))) continue;
    const current = spec.aliasOf === undefined ? spec : flagTable.get(spec.aliasOf);
    throw new ConfigError(`--${name} is not implemented yet: ${current?.about ?? spec.about}`);
  }
}

function refuseBothNames(settings: Settings): void {
  for (const name of settings.keys()) {
    const current = flagTable.get(name)?.aliasOf;
    if (current !== undefined && settings.has(current)) {
      throw new ConfigError(
        `cannot set --${name} and --${current} at the same time, please use --${current} only`,
      );
    }
  }
}

function isSame(a: FlagValue, b: FlagValue): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

function buildGates(settings: Settings): FeatureGates {
  const named = new Map(reader(settings)<ReadonlyMap<FeatureGate, boolean>>("feature-gates"));
  for (const [name, value] of settings) {
    const gate = flagTable.get(name)?.gate as FeatureGate | undefined;
    if (gate === undefined) continue;
    if (named.has(gate)) {
      throw new ConfigError(
        `cannot specify both flags: --${name}=${value} and --feature-gates=${gate}=${named.get(gate)} at the same time, please just use --feature-gates=${gate}=${named.get(gate)}`,
      );
    }
    named.set(gate, value === true);
  }
  const gates = resolveGates(named);
  for (const [gate, reason] of unbuiltGates) {
    if (gates[gate]) throw new ConfigError(`--feature-gates=${gate}=true is not implemented yet: ${reason}`);
  }
  if (gates.LeaseCheckpointPersist && !gates.LeaseCheckpoint) {
    throw new ConfigError(
      "enabling feature gate LeaseCheckpointPersist requires enabling feature gate LeaseCheckpoint",
    );
  }
  return gates;
}

function checkUrls(
  listening: readonly (readonly EndpointUrl[])[],
  advertised: {
    readonly advertiseClient: readonly EndpointUrl[];
    readonly advertisePeer: readonly EndpointUrl[];
  },
): void {
  for (const urls of listening) {
    for (const url of urls) {
      if (!isBindable(url)) throw new ConfigError(`expected IP in URL for binding (${url.text})`);
    }
  }
  for (const [flag, urls] of [
    ["initial-advertise-peer-urls", advertised.advertisePeer],
    ["advertise-client-urls", advertised.advertiseClient],
  ] as const) {
    for (const url of urls) {
      if (url.host === "" && !url.scheme.startsWith("unix")) {
        throw new ConfigError(
          `--${flag} "${url.text}" must be "host:port" (unexpected empty host (${url.text}))`,
        );
      }
    }
  }
}

function checkTimes(heartbeatIntervalMs: number, electionTimeoutMs: number): void {
  if (heartbeatIntervalMs === 0) throw new ConfigError("--heartbeat-interval must be >0 (set to 0ms)");
  if (electionTimeoutMs === 0) throw new ConfigError("--election-timeout must be >0 (set to 0ms)");
  if (5 * heartbeatIntervalMs > electionTimeoutMs) {
    throw new ConfigError(
      `--election-timeout[${electionTimeoutMs}ms] should be at least as 5 times as --heartbeat-interval[${heartbeatIntervalMs}ms]`,
    );
  }
  if (electionTimeoutMs > electionTimeoutMsMax) {
    throw new ConfigError(
      `--election-timeout[${electionTimeoutMs}ms] is too long, and should be set less than ${electionTimeoutMsMax}ms`,
    );
  }
}

function buildAutoCompaction(mode: string, retention: string): AutoCompaction | undefined {
  if (mode === "") throw new ConfigError("undefined auto-compaction-mode");
  if (mode !== "periodic" && mode !== "revision") {
    throw new ConfigError(`unknown auto-compaction-mode "${mode}"`);
  }
  const isCount = /^\+?\d+$/.test(retention);
  const duration = isCount ? undefined : parseDurationMs(retention);
  if (duration?.ok === false) {
    throw new ConfigError(`error parsing CompactionRetention: time: invalid duration "${retention}"`);
  }
  if (mode === "revision") {
    if (duration !== undefined) {
      throw new ConfigError(`--auto-compaction-retention=${retention} is not a number of revisions`);
    }
    return Number(retention) === 0 ? undefined : { mode, retentionRevisions: Number(retention) };
  }
  const retentionMs = duration === undefined ? Number(retention) * hourMs : duration.value;
  if (retentionMs < 0) throw new ConfigError(`--auto-compaction-retention=${retention} is negative`);
  return retentionMs === 0 ? undefined : { mode, retentionMs };
}

function buildInitialCluster(
  settings: Settings,
  name: string,
  advertisePeer: readonly EndpointUrl[],
): readonly InitialMember[] {
  const get = reader(settings);
  const text = get<string>("initial-cluster");
  // A name without a cluster means a cluster of that name alone, at its own URLs.
  if (!settings.has("initial-cluster") && name !== "default") {
    return advertisePeer.map((url) => ({ name, url: url.text }));
  }
  return parseInitialCluster(text);
}

/** The members of "name=url,name=url". Throws ConfigError. */
export function parseInitialCluster(text: string): readonly InitialMember[] {
  const members: InitialMember[] = [];
  for (const part of text.split(",").filter((word) => word !== "")) {
    const equals = part.indexOf("=");
    const memberName = equals < 0 ? part : part.slice(0, equals);
    const url = equals < 0 ? "" : part.slice(equals + 1);
    if (memberName === "" || url === "") {
      throw new ConfigError(`error setting up initial cluster: empty URL given for "${memberName}"`);
    }
    const parsed = parseUrls(url);
    if (!parsed.ok) throw new ConfigError(`error setting up initial cluster: ${parsed.error}`);
    members.push({ name: memberName, url });
  }
  return members;
}

function isLogLevel(text: string): text is LogLevel {
  return (logLevels as readonly string[]).includes(text);
}
