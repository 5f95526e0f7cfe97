// Every flag we know, as one table: etcd's names and defaults, and what this member does with each.
// A flag is also an environment variable (ETCD_ and upper snake case) and a key of the configuration file.

/**
 * - `implemented`: it does what etcd's does.
 * - `inert`: accepted with any value, because there is nothing for it to act on; `reason` says why.
 * - `refused`: any value but the default ends the start with its name; `reason` says what is missing.
 */
export type FlagSupport = "implemented" | "inert" | "refused";

export type FlagKind =
  | "string"
  | "boolean"
  | "uint"
  | "uint32"
  | "int"
  | "duration"
  | "urls"
  | "words"
  | "choice"
  | "gates";

export interface FlagSpec {
  readonly name: string;
  readonly kind: FlagKind;
  /** The default in the form a user would write it. */
  readonly default: string;
  readonly support: FlagSupport;
  /** One line for --help, or for a flag that is not implemented the reason. */
  readonly about: string;
  readonly choices?: readonly string[];
  /** The current flag that this older name stands for. */
  readonly aliasOf?: string;
  /** The feature gate that this older name stands for. */
  readonly gate?: string;
  /** The key in the configuration file, where it differs: [section, key]. */
  readonly yaml?: readonly [string, string];
}

function flag(name: string, kind: FlagKind, standard: string, about: string): FlagSpec {
  return { name, kind, default: standard, support: "implemented", about };
}

function choice(name: string, standard: string, choices: readonly string[], about: string): FlagSpec {
  return { name, kind: "choice", default: standard, support: "implemented", about, choices };
}

function refused(name: string, kind: FlagKind, standard: string, reason: string): FlagSpec {
  return { name, kind, default: standard, support: "refused", about: reason };
}

function inert(name: string, kind: FlagKind, standard: string, reason: string): FlagSpec {
  return { name, kind, default: standard, support: "inert", about: reason };
}

function security(spec: FlagSpec, section: "client" | "peer", key: string): FlagSpec {
  return { ...spec, yaml: [`${section}-transport-security`, key] };
}

/** An older name that takes the kind, default and fate of the flag it became. */
function older(name: string, current: FlagSpec): FlagSpec {
  return { ...current, name, aliasOf: current.name, about: `Older name of --${current.name}.` };
}

function olderGate(name: string, gate: string, standard: "true" | "false"): FlagSpec {
  const about = `Older form of --feature-gates=${gate}=true|false.`;
  return { name, kind: "boolean", default: standard, support: "implemented", about, gate };
}

const noDiscovery = "discovery is not built yet";
const noTracing = "distributed tracing is not built yet";
const noAuth = "authentication is not built yet";
const otherFormat = "the store and the log of this member have no such setting";
const removedFromEtcd = "etcd accepts it and does nothing with it";

const memberFlags: readonly FlagSpec[] = [
  flag("name", "string", "default", "Name of this member."),
  flag("data-dir", "string", "", "Data directory; NAME.etcd when empty."),
  flag("wal-dir", "string", "", "Folder of the write-ahead log; inside the data directory when empty."),
  flag("snapshot-count", "uint", "10000", "Applied entries between two snapshots of the log."),
  flag("snapshot-catchup-entries", "uint", "5000", "Entries kept in memory behind a snapshot."),
  flag("heartbeat-interval", "uint", "100", "Milliseconds of a Raft tick."),
  flag("election-timeout", "uint", "1000", "Milliseconds without a leader before an election."),
  flag("initial-election-tick-advance", "boolean", "true", "Shorten the first election after a start."),
  flag("pre-vote", "boolean", "true", "Ask for votes before raising the term."),
  flag(
    "quota-backend-bytes",
    "int",
    "0",
    "Store size that raises the space alarm; 0 is 2 GiB, negative is none.",
  ),
  flag("max-txn-ops", "uint", "128", "Operations allowed in a transaction."),
  flag("max-request-bytes", "uint", "1572864", "Largest request in bytes."),
  flag("max-learners", "int", "1", "Learners that the cluster may have at a time."),
  flag("backend-batch-interval", "duration", "0s", "Time between two flushes of the store; 0 is 100ms."),
  inert("backend-batch-limit", "int", "0", "flushes of the store are bounded by bytes"),
  flag("compaction-batch-limit", "int", "0", "Revisions removed in one slice of a compaction; 0 is 1000."),
  flag("compaction-sleep-interval", "duration", "0s", "Pause between two slices of a compaction; 0 is 10ms."),
  choice(
    "auto-compaction-mode",
    "periodic",
    ["periodic", "revision"],
    "How auto-compaction-retention is read.",
  ),
  flag("auto-compaction-retention", "string", "0", "Hours or a duration, or revisions, to keep; 0 is off."),
  flag("watch-progress-notify-interval", "duration", "0s", "Time between progress notifications; 0 is 10m."),
  flag("warning-apply-duration", "duration", "100ms", "Applying for longer than this is logged."),
  flag("warning-unary-request-duration", "duration", "300ms", "A unary call longer than this is logged."),
  flag("feature-gates", "gates", "", "Gates as NAME=true|false, comma separated."),
  refused("unsafe-no-fsync", "boolean", "false", "a log without fsync is not offered"),
  flag("force-new-cluster", "boolean", "false", "Make a cluster of this member alone out of its data."),
  refused("memory-mlock", "boolean", "false", "locking memory is not built yet"),
  refused("bootstrap-defrag-threshold-megabytes", "uint", "0", "defragmenting at the start is not built yet"),
  inert("corrupt-check-time", "duration", "0s", "comparing the members' hashes is not built yet"),
  inert("compact-hash-check-time", "duration", "1m0s", "comparing the members' hashes is not built yet"),
  inert(
    "downgrade-check-time",
    "duration",
    "5s",
    "a downgrade ends when a member of the older release leads",
  ),
];

const listenerFlags: readonly FlagSpec[] = [
  flag("listen-client-urls", "urls", "http://localhost:2379", "Where clients are served."),
  flag(
    "listen-client-http-urls",
    "urls",
    "",
    "Where HTTP is served; --listen-client-urls is then gRPC only.",
  ),
  flag("listen-metrics-urls", "urls", "", "Further places for /metrics and the health endpoints."),
  flag("listen-peer-urls", "urls", "http://localhost:2380", "Where other members are served."),
  flag("max-concurrent-streams", "uint32", "4294967295", "Streams a connection may have open."),
  flag("grpc-keepalive-min-time", "duration", "5s", "Clients that ping more often are turned away."),
  flag(
    "grpc-keepalive-interval",
    "duration",
    "2h0m0s",
    "Idle time before a connection is pinged; 0 is never.",
  ),
  flag("grpc-keepalive-timeout", "duration", "20s", "Time a ping may stay unanswered."),
  flag("socket-reuse-port", "boolean", "false", "Open listeners with SO_REUSEPORT."),
  inert("socket-reuse-address", "boolean", "false", "listeners are always opened with SO_REUSEADDR"),
  flag("raft-read-timeout", "duration", "5s", "Silence after which a peer's stream is closed."),
  flag("raft-write-timeout", "duration", "5s", "Time a peer may take nothing of what is sent."),
  flag("enable-grpc-gateway", "boolean", "true", "Serve the API as JSON over HTTP below /v3/."),
  flag("cors", "words", "*", "Origins allowed to call over HTTP."),
  flag("host-whitelist", "words", "*", "Host names accepted in HTTP requests."),
];

const clusterFlags: readonly FlagSpec[] = [
  flag("initial-advertise-peer-urls", "urls", "http://localhost:2380", "Peer URLs told to the cluster."),
  flag("advertise-client-urls", "urls", "http://localhost:2379", "Client URLs told to the cluster."),
  flag(
    "initial-cluster",
    "string",
    "default=http://localhost:2380",
    "First members as NAME=URL, comma separated.",
  ),
  choice("initial-cluster-state", "new", ["new", "existing"], "Whether to start a cluster or to join one."),
  flag("initial-cluster-token", "string", "etcd-cluster", "Text that keeps the ids of two clusters apart."),
  flag("strict-reconfig-check", "boolean", "true", "Refuse membership changes that endanger the quorum."),
  refused("discovery", "string", "", noDiscovery),
  refused("discovery-token", "string", "", noDiscovery),
  refused("discovery-endpoints", "words", "", noDiscovery),
  refused("discovery-dial-timeout", "duration", "2s", noDiscovery),
  refused("discovery-request-timeout", "duration", "5s", noDiscovery),
  refused("discovery-keepalive-time", "duration", "2s", noDiscovery),
  refused("discovery-keepalive-timeout", "duration", "6s", noDiscovery),
  refused("discovery-insecure-transport", "boolean", "true", noDiscovery),
  refused("discovery-insecure-skip-tls-verify", "boolean", "false", noDiscovery),
  refused("discovery-cert", "string", "", noDiscovery),
  refused("discovery-key", "string", "", noDiscovery),
  refused("discovery-cacert", "string", "", noDiscovery),
  refused("discovery-user", "string", "", noDiscovery),
  refused("discovery-password", "string", "", noDiscovery),
  refused("discovery-srv", "string", "", noDiscovery),
  refused("discovery-srv-name", "string", "", noDiscovery),
];

const securityFlags: readonly FlagSpec[] = [
  security(flag("cert-file", "string", "", "Certificate of the client listeners."), "client", "cert-file"),
  security(flag("key-file", "string", "", "Key of that certificate."), "client", "key-file"),
  security(
    inert("client-cert-file", "string", "", "this member opens no connection to itself"),
    "client",
    "client-cert-file",
  ),
  security(
    inert("client-key-file", "string", "", "this member opens no connection to itself"),
    "client",
    "client-key-file",
  ),
  security(
    flag("client-cert-auth", "boolean", "false", "Clients have to show a certificate of the trusted CA."),
    "client",
    "client-cert-auth",
  ),
  flag("client-crl-file", "string", "", "List of revoked client certificates."),
  security(
    flag("client-cert-allowed-hostname", "words", "", "Names that client certificates may have."),
    "client",
    "allowed-hostname",
  ),
  security(flag("trusted-ca-file", "string", "", "CA of client certificates."), "client", "trusted-ca-file"),
  security(
    flag("auto-tls", "boolean", "false", "Make a certificate for the client listeners."),
    "client",
    "auto-tls",
  ),
  security(flag("peer-cert-file", "string", "", "Certificate of the peer listeners."), "peer", "cert-file"),
  security(flag("peer-key-file", "string", "", "Key of that certificate."), "peer", "key-file"),
  security(
    flag(
      "peer-client-cert-file",
      "string",
      "",
      "Certificate for connections to peers, where it is another one.",
    ),
    "peer",
    "client-cert-file",
  ),
  security(flag("peer-client-key-file", "string", "", "Key of that certificate."), "peer", "client-key-file"),
  security(
    flag("peer-client-cert-auth", "boolean", "false", "Peers have to show a certificate of the trusted CA."),
    "peer",
    "client-cert-auth",
  ),
  security(flag("peer-trusted-ca-file", "string", "", "CA of peer certificates."), "peer", "trusted-ca-file"),
  security(
    flag("peer-auto-tls", "boolean", "false", "Make a certificate for the peer listeners."),
    "peer",
    "auto-tls",
  ),
  flag("peer-crl-file", "string", "", "List of revoked peer certificates."),
  security(
    flag("peer-cert-allowed-cn", "words", "", "Common names that peer certificates may have."),
    "peer",
    "allowed-cn",
  ),
  security(
    flag("peer-cert-allowed-hostname", "words", "", "Names that peer certificates may have."),
    "peer",
    "allowed-hostname",
  ),
  security(
    flag(
      "peer-skip-client-san-verification",
      "boolean",
      "false",
      "Do not hold peers' addresses against the names of their certificates.",
    ),
    "peer",
    "skip-client-san-verification",
  ),
  flag("self-signed-cert-validity", "uint", "1", "Years that made certificates are valid."),
  flag("cipher-suites", "words", "", "TLS 1.2 suites by Go's names; empty for the defaults."),
  flag("tls-min-version", "string", "TLS1.2", "TLS1.2 or TLS1.3."),
  flag("tls-max-version", "string", "", "TLS1.2 or TLS1.3; empty for the newest."),
  refused("auth-token", "string", "simple", noAuth),
  refused("auth-token-ttl", "uint", "300", noAuth),
  refused("bcrypt-cost", "uint", "10", noAuth),
];

const observabilityFlags: readonly FlagSpec[] = [
  flag("log-level", "string", "info", "debug, info, warn, error, panic or fatal."),
  flag("log-format", "string", "json", "json or console."),
  flag("log-outputs", "words", "default", "default, stderr, stdout, or paths of files."),
  flag("logger", "string", "zap", "Only zap, the form of the log lines."),
  refused("enable-log-rotation", "boolean", "false", "log rotation is not built yet"),
  inert("log-rotation-config-json", "string", "", "it acts only with --enable-log-rotation"),
  choice("metrics", "basic", ["basic", "extensive"], "extensive adds histograms of call durations."),
  refused("enable-pprof", "boolean", "false", "profiling over HTTP is not built yet"),
  refused("enable-distributed-tracing", "boolean", "false", noTracing),
  refused("distributed-tracing-address", "string", "localhost:4317", noTracing),
  refused("distributed-tracing-service-name", "string", "etcd", noTracing),
  refused("distributed-tracing-instance-id", "string", "", noTracing),
  refused("distributed-tracing-sampling-rate", "int", "0", noTracing),
];

/** Options of our own. */
const ownFlags: readonly FlagSpec[] = [
  flag("auto-promote", "boolean", "false", "As leader, promote learners that have caught up."),
  flag(
    "termination-log",
    "string",
    "",
    "File for the last words of a fatal end; /dev/termination-log if there.",
  ),
  flag("wal-segment-bytes", "uint", "64000000", "Bytes of a segment of the write-ahead log."),
];

const inertFlags: readonly FlagSpec[] = [
  inert("max-wals", "uint", "5", otherFormat),
  inert("max-snapshots", "uint", "5", otherFormat),
  inert("backend-bbolt-freelist-type", "string", "map", otherFormat),
  inert("v2-deprecation", "string", "write-only", removedFromEtcd),
  inert("enable-v2", "boolean", "false", removedFromEtcd),
  inert("discovery-proxy", "string", "", removedFromEtcd),
  inert("discovery-fallback", "string", "exit", removedFromEtcd),
  inert("proxy", "string", "off", removedFromEtcd),
  ...[
    "cluster-active-size",
    "cluster-remove-delay",
    "cluster-sync-interval",
    "config",
    "force",
    "max-result-buffer",
    "max-retry-attempts",
    "peer-heartbeat-interval",
    "peer-election-timeout",
    "retry-interval",
    "snapshot",
    "v",
    "vv",
  ].map((name) => inert(name, "string", "", removedFromEtcd)),
];

const currentFlags: readonly FlagSpec[] = [
  ...memberFlags,
  ...listenerFlags,
  ...clusterFlags,
  ...securityFlags,
  ...observabilityFlags,
  ...ownFlags,
];

const experimental = [
  "corrupt-check-time",
  "compact-hash-check-time",
  "compaction-batch-limit",
  "compaction-sleep-interval",
  "watch-progress-notify-interval",
  "warning-apply-duration",
  "warning-unary-request-duration",
  "bootstrap-defrag-threshold-megabytes",
  "max-learners",
  "downgrade-check-time",
  "memory-mlock",
  "snapshot-catchup-entries",
  "peer-skip-client-san-verification",
  "enable-distributed-tracing",
  "distributed-tracing-address",
  "distributed-tracing-service-name",
  "distributed-tracing-instance-id",
  "distributed-tracing-sampling-rate",
];

const olderFlags: readonly FlagSpec[] = [
  ...currentFlags
    .filter((spec) => experimental.includes(spec.name))
    .map((spec) => older(`experimental-${spec.name}`, spec)),
  olderGate("experimental-initial-corrupt-check", "InitialCorruptCheck", "false"),
  olderGate("experimental-compact-hash-check-enabled", "CompactHashCheck", "false"),
  olderGate("experimental-txn-mode-write-with-shared-buffer", "TxnModeWriteWithSharedBuffer", "true"),
  olderGate("experimental-enable-lease-checkpoint", "LeaseCheckpoint", "false"),
  olderGate("experimental-enable-lease-checkpoint-persist", "LeaseCheckpointPersist", "false"),
  olderGate("experimental-stop-grpc-service-on-defrag", "StopGRPCServiceOnDefrag", "false"),
];

const configFile: FlagSpec = flag(
  "config-file",
  "string",
  "",
  "YAML file; every other flag is then ignored.",
);

export const flagTable: ReadonlyMap<string, FlagSpec> = new Map(
  [configFile, ...currentFlags, ...inertFlags, ...olderFlags].map((spec) => [spec.name, spec]),
);

export function environmentName(flagName: string): string {
  return `ETCD_${flagName.toUpperCase().replaceAll("-", "_")}`;
}

/** The text of --help, and of a command line that cannot be read. */
export function usage(): string {
  const lines = ["Usage:", "", "  etcdlike [flags]", "  etcdlike --version", "  etcdlike --help", ""];
  const groups: readonly (readonly [string, readonly FlagSpec[]])[] = [
    ["Member", memberFlags],
    ["Listeners", listenerFlags],
    ["Cluster", clusterFlags],
    ["Security", securityFlags],
    ["Logs and metrics", observabilityFlags],
    ["Own options", [configFile, ...ownFlags]],
    ["Accepted without effect", inertFlags],
    ["Older names", olderFlags],
  ];
  for (const [title, specs] of groups) {
    lines.push(`${title}:`);
    for (const spec of specs) lines.push(`  --${spec.name} '${spec.default}'`, `    ${describe(spec)}`);
    lines.push("");
  }
  return `${lines.join("\n")}\n`;
}

function describe(spec: FlagSpec): string {
  if (spec.support === "implemented" || spec.aliasOf !== undefined) return spec.about;
  return spec.support === "refused"
    ? `Not implemented yet: ${spec.about}.`
    : `Accepted without effect: ${spec.about}.`;
}
