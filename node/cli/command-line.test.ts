import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLogger } from "../lib/log.ts";
import { type Decision, decide } from "./command-line.ts";
import { type MemberConfig, ownMemberProblem } from "./config.ts";
import { SameUrls } from "./same-urls.ts";
import type { Notice } from "./sources.ts";

const sameUrls = new SameUrls(silentLogger);

interface Given {
  readonly env?: Readonly<Record<string, string>>;
  readonly file?: string;
}

function decideOn(argv: readonly string[], { env = {}, file }: Given = {}): Decision {
  return decide({
    argv,
    environment: env,
    readFile: (path) => {
      if (file !== undefined) return file;
      throw Object.assign(new Error(`ENOENT: ${path}`), { code: "ENOENT" });
    },
  });
}

function configOf(argv: readonly string[], given: Given = {}): MemberConfig {
  const decision = decideOn(argv, given);
  assert.equal(decision.kind, "run", JSON.stringify(decision));
  return (decision as Extract<Decision, { kind: "run" }>).config;
}

function errorOf(argv: readonly string[], given: Given = {}): string {
  const decision = decideOn(argv, given);
  assert.equal(decision.kind, "invalid", JSON.stringify(decision));
  return (decision as Extract<Decision, { kind: "invalid" }>).error;
}

function noticesOf(argv: readonly string[], given: Given): readonly Notice[] {
  const decision = decideOn(argv, given);
  assert.equal(decision.kind, "run", JSON.stringify(decision));
  return (decision as Extract<Decision, { kind: "run" }>).notices;
}

test("without flags a member has etcd's defaults", async () => {
  const config = configOf([]);
  assert.equal(config.name, "default");
  assert.equal(config.dataDir, "default.etcd");
  assert.deepEqual(
    config.listenClientUrls.map(({ host, port }) => [host, port]),
    [["localhost", 2379]],
  );
  assert.deepEqual(config.initialCluster, [{ name: "default", url: "http://localhost:2380" }]);
  assert.equal(config.heartbeatIntervalMs, 100);
  assert.equal(config.electionTimeoutMs, 1000);
  assert.equal(config.quotaBackendBytes, 2_147_483_648);
  assert.equal(config.maxConcurrentStreams, 4_294_967_295);
  assert.equal(config.watchProgressNotifyIntervalMs, 600_000);
  assert.equal(config.grpcKeepaliveIntervalMs, 7_200_000);
  assert.equal(config.autoCompaction, undefined);
  assert.deepEqual(config.log, { level: "info", format: "json", outputs: ["stderr"] });
  assert.equal(await ownMemberProblem(config, sameUrls), undefined);
});

test("a flag is given as --k=v, --k v, -k v, and a boolean alone", () => {
  for (const argv of [["--name=a"], ["--name", "a"], ["-name", "a"], ["-name=a"]]) {
    assert.equal(configOf(argv).name, "a");
  }
  assert.equal(configOf(["--socket-reuse-port", "--name", "a"]).socketReusePort, true);
  assert.equal(configOf(["--pre-vote=false"]).preVote, false);
});

test("a command line that cannot be read gets Go's message and usage", () => {
  const cases: [string[], string][] = [
    [["--bogus"], "flag provided but not defined: -bogus\n"],
    [["--quota-backend-bytes=abc"], 'invalid value "abc" for flag -quota-backend-bytes: parse error\n'],
    [["--max-txn-ops=-1"], 'invalid value "-1" for flag -max-txn-ops: parse error\n'],
    [["--auto-tls=maybe"], 'invalid boolean value "maybe" for -auto-tls: parse error\n'],
    [["--grpc-keepalive-min-time=5"], 'invalid value "5" for flag -grpc-keepalive-min-time: parse error\n'],
    [["--name"], "flag needs an argument: -name\n"],
    [["--initial-cluster-state=x"], 'invalid value "x" for flag -initial-cluster-state: invalid value\n'],
    [
      ["--feature-gates=X=true"],
      'invalid value "X=true" for flag -feature-gates: unrecognized feature gate: X\n',
    ],
    [
      ["--listen-client-urls=foo"],
      'invalid value "foo" for flag -listen-client-urls: URL scheme must be http, https, unix, or unixs: foo\n',
    ],
    [
      ["--listen-client-urls=http://a:1/p"],
      'invalid value "http://a:1/p" for flag -listen-client-urls: URL must not contain a path: http://a:1/p\n',
    ],
  ];
  for (const [argv, start] of cases) {
    const decision = decideOn(argv);
    assert.equal(decision.kind, "usage", argv.join(" "));
    assert.ok("text" in decision && decision.text.startsWith(`${start}Usage:`), JSON.stringify(decision));
  }
});

test("settings that contradict each other get etcd's text", () => {
  const cases: [string[], string][] = [
    [
      ["--election-timeout=1000", "--heartbeat-interval=1000"],
      "--election-timeout[1000ms] should be at least as 5 times as --heartbeat-interval[1000ms]",
    ],
    [
      ["--election-timeout=60000"],
      "--election-timeout[60000ms] is too long, and should be set less than 50000ms",
    ],
    [["--heartbeat-interval=0"], "--heartbeat-interval must be >0 (set to 0ms)"],
    [
      ["--listen-client-urls=http://127.0.0.1:1"],
      "--advertise-client-urls is required when --listen-client-urls is set explicitly",
    ],
    [["--listen-client-urls=http://example.com:1"], "expected IP in URL for binding (http://example.com:1)"],
    [["--auto-compaction-mode=bogus"], 'unknown auto-compaction-mode "bogus"'],
    [["--log-format=bogus"], "unknown log format: bogus, supported values json, console"],
    [["--log-outputs=stdout,default"], 'multi logoutput for "default" is not supported yet'],
    [["--logger=capnslog"], "--logger=capnslog is removed in v3.5"],
    [["foo"], '"foo" is not a valid flag'],
    [["--config-file=/nonexistent"], "open /nonexistent: no such file or directory"],
    [
      ["--experimental-warning-apply-duration=1s", "--warning-apply-duration=1s"],
      "cannot set --experimental-warning-apply-duration and --warning-apply-duration at the same time, please use --warning-apply-duration only",
    ],
  ];
  for (const [argv, text] of cases) assert.equal(errorOf(argv), text);
});

test("a flag that is not built is refused by name, unless it is set to its default", () => {
  for (const flag of [
    "auth-token=jwt,sign-method=HS256",
    "discovery-srv=x",
    "experimental-memory-mlock",
    "feature-gates=SetMemberLocalAddr=true",
    "log-outputs=systemd/journal",
  ]) {
    assert.match(errorOf([`--${flag}`]), new RegExp(`^--${flag.split("=")[0]}.* is not implemented yet`));
  }
  assert.equal(configOf(["--auto-tls=false", "--auth-token=simple", "--max-learners=1"]).name, "default");
});

test("TLS flags that do not go together are refused with etcd's words", () => {
  const cases: [string[], string][] = [
    [["--cert-file=c"], "KeyFile and CertFile must both be present[key: , cert: c]"],
    [
      ["--peer-client-key-file=k"],
      "ClientKeyFile and ClientCertFile must both be present or both absent: key: k, cert: ]",
    ],
    [
      ["--peer-cert-allowed-cn=a", "--peer-cert-allowed-hostname=b"],
      'AllowedCNs and AllowedHostnames are mutually exclusive (cns=["a"], hostnames=["b"])',
    ],
    [["--tls-min-version=TLS1.1"], 'unexpected TLS version "TLS1.1"'],
    [
      ["--tls-min-version=TLS1.3", "--tls-max-version=TLS1.2"],
      "min version (TLS1.3) is greater than max version (TLS1.2)",
    ],
    [
      ["--tls-min-version=TLS1.3", "--cipher-suites=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"],
      "cipher suites cannot be configured when only TLS1.3 is enabled",
    ],
    [
      ["--auto-tls", "--self-signed-cert-validity=0"],
      "selfSignedCertValidity is invalid,it should be greater than 0",
    ],
  ];
  for (const [argv, expected] of cases) assert.equal(errorOf(argv), expected);
});

test("flags without effect are accepted with any value", () => {
  configOf(["--max-wals=3", "--max-snapshots", "3", "--backend-bbolt-freelist-type=array", "--enable-v2"]);
  configOf(["--v2-deprecation=not-yet", "--feature-gates=InitialCorruptCheck=true"]);
});

test("an environment variable is used, one that a flag sets too is refused, an unknown one is warned about", () => {
  const env = { ETCD_NAME: "from-env", ETCD_HEARTBEAT_INTERVAL: "50", ETCD_BOGUS: "1", ETCDCTL_API: "3" };
  const config = configOf([], { env });
  assert.equal(config.name, "from-env");
  assert.equal(config.heartbeatIntervalMs, 50);
  assert.equal(
    errorOf(["--name=from-flag"], { env }),
    "conflicting environment variable ETCD_NAME is shadowed by corresponding command-line flag " +
      "(either unset environment variable or disable flag)",
  );
  assert.deepEqual(
    noticesOf([], { env })
      .filter((notice) => notice.message === "unrecognized environment variable")
      .map((notice) => notice.fields["environment-variable"]),
    ["ETCD_BOGUS=1"],
  );
  assert.equal(
    errorOf([], { env: { ETCD_ELECTION_TIMEOUT: "abc" } }),
    'invalid value "abc" for ETCD_ELECTION_TIMEOUT: parse error',
  );
});

test("with a configuration file every other flag and variable is ignored", () => {
  const file = [
    "name: from-file",
    "data-dir: /tmp/from-file",
    "heartbeat-interval: 200",
    "grpc-keepalive-interval: 3000000000",
    "backend-batch-interval: 5s",
    "auto-compaction-retention: '2'",
    "log-outputs: [stdout, /tmp/x.log]",
    "client-transport-security:",
    "  cert-file: ''",
    "  auto-tls: false",
    "unheard-of: 1",
    "",
  ].join("\n");
  const given = { file, env: { ETCD_NAME: "from-env", ETCD_CONFIG_FILE: "/etc/etcd.yaml" } };
  const config = configOf(["--name=from-flag"], given);
  assert.equal(config.name, "from-file");
  assert.equal(config.dataDir, "/tmp/from-file");
  assert.equal(config.heartbeatIntervalMs, 200);
  assert.equal(config.grpcKeepaliveIntervalMs, 3000);
  assert.equal(config.backendBatchIntervalMs, 5000);
  assert.deepEqual(config.autoCompaction, { mode: "periodic", retentionMs: 7_200_000 });
  assert.deepEqual(config.log.outputs, ["stdout", "/tmp/x.log"]);
  assert.ok(noticesOf([], given).some((notice) => notice.fields["key"] === "unheard-of"));
  const secure = "peer-transport-security: { cert-file: c, key-file: k, client-cert-auth: true }";
  const { peerTls } = configOf([], { ...given, file: secure });
  assert.deepEqual([peerTls.certFile, peerTls.keyFile, peerTls.requiresClientCert], ["c", "k", true]);
});

test("a configuration file that is not YAML is refused with a text", () => {
  const notYaml = /^the configuration file is not valid YAML: /;
  assert.match(errorOf(["--config-file=f"], { file: "a: [" }), notYaml);
  assert.match(errorOf(["--config-file=f"], { file: "name: a\nname: b\n" }), notYaml);
  assert.equal(errorOf(["--config-file=f"], { file: "- name" }), "the configuration file is not a mapping");
});

test("an older name sets the flag it became", () => {
  const config = configOf([
    "--experimental-watch-progress-notify-interval=5s",
    "--experimental-enable-lease-checkpoint",
    "--experimental-compaction-batch-limit=7",
  ]);
  assert.equal(config.watchProgressNotifyIntervalMs, 5000);
  assert.equal(config.featureGates.LeaseCheckpoint, true);
  assert.equal(config.compactionBatchLimit, 7);
});

test("retention is hours, a duration or revisions", () => {
  assert.deepEqual(configOf(["--auto-compaction-retention=30m"]).autoCompaction, {
    mode: "periodic",
    retentionMs: 1_800_000,
  });
  assert.deepEqual(
    configOf(["--auto-compaction-mode=revision", "--auto-compaction-retention=1000"]).autoCompaction,
    { mode: "revision", retentionRevisions: 1000 },
  );
  assert.equal(
    errorOf(["--auto-compaction-retention=x"]),
    'error parsing CompactionRetention: time: invalid duration "x"',
  );
});

test("a new cluster must be this member at its own URLs", async () => {
  const named = configOf(["--name=n", "--initial-advertise-peer-urls=http://10.0.0.1:2380"]);
  assert.deepEqual(named.initialCluster, [{ name: "n", url: "http://10.0.0.1:2380" }]);
  assert.equal(await ownMemberProblem(named, sameUrls), undefined);
  const cases: [string[], RegExp][] = [
    [
      ["--initial-advertise-peer-urls=http://localhost:2381"],
      /^--initial-cluster has default=http:\/\/localhost:2380 but missing from --initial-advertise-peer-urls=http:\/\/localhost:2381 \(resolved urls: "http:\/\/localhost:2381" != "http:\/\/localhost:2380"\)$/,
    ],
    [
      ["--initial-advertise-peer-urls=http://a:1", "--initial-cluster=default=http://a:1,default=http://a:1"],
      /^failed to resolve http:\/\/a:1 to match --initial-cluster=default=http:\/\/a:1 \(1 URLs, not 2\)$/,
    ],
    [
      [
        "--initial-advertise-peer-urls=http://localhost:2380,http://localhost:2381",
        "--initial-cluster=default=http://localhost:2380",
      ],
      /^--initial-advertise-peer-urls has http:\/\/localhost:2381 but missing from --initial-cluster=default=http:\/\/localhost:2380,default=http:\/\/localhost:2381$/,
    ],
    [["--name=n", "--initial-cluster=m=http://localhost:2380"], /^couldn't find local name "n"/],
  ];
  for (const [argv, expected] of cases) {
    assert.match((await ownMemberProblem(configOf(argv), sameUrls)) ?? "", expected);
  }
});

test("--version starts with etcd's line, and --help lists flags", () => {
  const version = decideOn(["--version"]);
  assert.ok(version.kind === "print" && version.text.startsWith("etcd Version: 3.6.14\nGit SHA: "));
  const help = decideOn(["--help"]);
  assert.ok(help.kind === "print" && help.text.includes("--listen-client-urls 'http://localhost:2379'"));
});
