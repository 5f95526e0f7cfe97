// `etcdlike snapshot upload|verify|fetch|bootstrap|delete`: the agent's commands. Each ends with one line of JSON, on
// standard output and in the termination log, where the operator reads it.

import { existsSync, writeFileSync } from "node:fs";
import {
  type OfflineArguments,
  type OfflineFlags,
  OfflineUsageError,
  readOfflineArguments,
} from "../cli/offline-flags.ts";
import type { CommandResult } from "../cli/snapshot-command.ts";
import type { Logger } from "../lib/log.ts";
import { bootstrap } from "./bootstrap.ts";
import { type ArtifactLocation, parseLocation, uriOf } from "./location.ts";
import { type HashAnswer, MemberClient, type MemberTls } from "./member-client.ts";
import { salvage } from "./salvage.ts";
import { openStore } from "./store.ts";
import { upload } from "./upload.ts";
import { digestFault, type Expected, fetchTo, verify } from "./verify.ts";

const usageText = `Usage:
  etcdlike snapshot upload LOCATION --endpoints URL,... [options]
  etcdlike snapshot verify LOCATION [options]
  etcdlike snapshot fetch LOCATION --out FILE [options]
  etcdlike snapshot bootstrap LOCATION --data-dir DIR --name NAME [options]
  etcdlike snapshot salvage DIR --data-dir DIR --name NAME [options]
  etcdlike snapshot delete LOCATION [options]

LOCATION is s3://BUCKET/KEY, with credentials as AWS' tools take them from the environment, or a path. upload takes a
snapshot from a member that does not lead, if there is one, never replaces what is there, and verifies what it wrote
when it has a scratch directory. verify fetches the artifact, restores it and compares. bootstrap restores it into an
empty data directory, and does nothing where a member has data already. salvage does the same with what the data
directory DIR of a stopped member holds, which it only reads. The result is one line of JSON.

Options:
  --s3-endpoint URL          a server other than AWS' own
  --s3-region REGION         (default "us-east-1")
  --s3-path-style            the bucket in the path instead of in the host name
  --endpoints URL,...        client URLs of the members
  --trusted-ca-file, --cert-file, --key-file FILE   for https endpoints
  --scratch-dir DIR          room for the artifact and for a store made from it
  --sha256 HEX               of the artifact, as known
  --revision N, --hash N     of its content, as known
  --out FILE                 where fetch puts the file
  --data-dir DIR, --name NAME, --initial-cluster NAME=URL, --initial-cluster-token TOKEN,
  --initial-advertise-peer-urls URL, --bump-revision N   as of snapshot restore
  --initial-cluster-state new|existing   bootstrap does nothing for a member of a cluster that exists
  --result-file FILE         for the result, too; /dev/termination-log if there
`;

const text = { kind: "string", default: "" } as const;
const flags: OfflineFlags = {
  "s3-endpoint": text,
  "s3-region": { kind: "string", default: "us-east-1" },
  "s3-path-style": { kind: "boolean", default: "false" },
  endpoints: text,
  "trusted-ca-file": text,
  "cert-file": text,
  "key-file": text,
  "scratch-dir": text,
  sha256: text,
  revision: text,
  hash: text,
  out: text,
  "data-dir": text,
  name: text,
  "initial-cluster": text,
  "initial-cluster-token": { kind: "string", default: "etcd-cluster" },
  "initial-cluster-state": { kind: "string", default: "new" },
  "initial-advertise-peer-urls": text,
  "bump-revision": { kind: "uint", default: "0" },
  "result-file": text,
};

const defaultResultFile = "/dev/termination-log";
/** What Kubernetes keeps of a container's last words. */
const messageCharsMax = 3_000;

type Result = Readonly<Record<string, unknown>>;

/** `argv` is what follows the word "snapshot"; its first is one of `artifactWords`. */
export async function runArtifactCommand(argv: readonly string[], log: Logger): Promise<CommandResult> {
  const [word = "", ...rest] = argv;
  let resultFile = "";
  try {
    const given = readOfflineArguments(rest, flags);
    resultFile = given.text("result-file");
    const result = await run(word, given, log);
    return reported(result, resultFile, "error" in result ? 1 : 0);
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    if (error instanceof OfflineUsageError) {
      const help = error.wantsHelp ? "" : `Error: ${error.message}\n`;
      return { exitCode: error.wantsHelp ? 0 : 2, stdout: "", stderr: `${help}${usageText}` };
    }
    return reported({ error: error.message.slice(0, messageCharsMax) }, resultFile, 1);
  }
}

function reported(result: Result, given: string, exitCode: number): CommandResult {
  const line = `${JSON.stringify(result)}\n`;
  const path = given === "" && existsSync(defaultResultFile) ? defaultResultFile : given;
  if (path !== "") writeFileSync(path, line);
  return { exitCode, stdout: line, stderr: "" };
}

async function run(word: string, given: OfflineArguments, log: Logger): Promise<Result> {
  if (word === "salvage") {
    const [program = process.execPath, script = ""] = process.argv;
    return salvage({
      ...newMemberOf(given, log),
      from: onlyArgument(given, "DIR"),
      command: [program, script],
    });
  }
  const location = locationOf(given);
  const store = await openStore(location);
  switch (word) {
    case "upload": {
      const tls = tlsOf(given);
      const { member, ...digest } = await upload({ store, endpoints: endpointsOf(given), tls, log });
      const artifact = { uri: uriOf(location), ...digest };
      const from = member === undefined ? {} : { endpoint: member.endpoint, clusterId: member.clusterId };
      const isVerified = given.text("scratch-dir") !== "";
      const verification = isVerified ? await verified(location, given, log, digest.sha256) : undefined;
      return { artifact, ...from, ...(verification === undefined ? {} : { verification }) };
    }
    case "verify": {
      const verification = await verified(location, given, log, given.text("sha256") || undefined);
      return { artifact: { uri: uriOf(location) }, verification };
    }
    case "fetch": {
      const digest = await fetchTo(store, required(given, "out"));
      const fault = digestFault(digest, given.text("sha256") || undefined);
      return {
        artifact: { uri: uriOf(location), ...digest },
        ...(fault === undefined ? {} : { error: fault.message }),
      };
    }
    case "bootstrap":
      return bootstrap({
        store,
        sha256: given.text("sha256") || undefined,
        ...newMemberOf(given, log),
      });
    case "delete":
      await store.remove();
      return { artifact: { uri: uriOf(location) } };
    default:
      throw new OfflineUsageError(`unknown command "${word}" for "etcdlike snapshot"`);
  }
}

function newMemberOf(given: OfflineArguments, log: Logger) {
  return {
    dataDir: required(given, "data-dir"),
    name: required(given, "name"),
    peerUrl: required(given, "initial-advertise-peer-urls"),
    clusterToken: given.text("initial-cluster-token"),
    clusterState: given.text("initial-cluster-state"),
    bumpRevision: given.number("bump-revision"),
    log,
  };
}

async function verified(
  location: ArtifactLocation,
  given: OfflineArguments,
  log: Logger,
  sha256: string | undefined,
): Promise<Result> {
  const expected: Expected = { sha256, revision: count(given, "revision"), hash: count(given, "hash") };
  const verdict = await verify({
    store: await openStore(location),
    expected,
    scratchFolder: required(given, "scratch-dir"),
    hashOfCluster: (revision) => hashOfCluster(given, revision, log),
    log,
  });
  if (!verdict.isSound) return verdict;
  return { isSound: true, ...verdict.digest, ...verdict.content };
}

/** Of the first member that can tell; one that has compacted beyond the revision cannot. */
async function hashOfCluster(
  given: OfflineArguments,
  revision: number,
  log: Logger,
): Promise<HashAnswer | undefined> {
  for (const endpoint of given.text("endpoints").split(",").filter(Boolean)) {
    const client = new MemberClient(endpoint, tlsOf(given));
    try {
      return await client.hashKv(revision);
    } catch (error) {
      log.warn("a member gives no hash", { endpoint, revision, error: (error as Error).message });
    } finally {
      client.close();
    }
  }
  return undefined;
}

function locationOf(given: OfflineArguments): ArtifactLocation {
  return parseLocation(onlyArgument(given, "LOCATION"), {
    endpoint: given.text("s3-endpoint") || undefined,
    region: given.text("s3-region"),
    isPathStyle: given.isSet("s3-path-style"),
  });
}

function onlyArgument(given: OfflineArguments, what: string): string {
  const [argument, ...more] = given.positionals;
  if (argument === undefined || more.length > 0) throw new OfflineUsageError(`exactly one ${what} is needed`);
  return argument;
}

function endpointsOf(given: OfflineArguments): readonly string[] {
  return required(given, "endpoints").split(",").filter(Boolean);
}

function tlsOf(given: OfflineArguments): MemberTls | undefined {
  const caFile = given.text("trusted-ca-file");
  if (caFile === "") return undefined;
  return {
    caFile,
    certFile: given.text("cert-file") || undefined,
    keyFile: given.text("key-file") || undefined,
  };
}

function required(given: OfflineArguments, name: string): string {
  const value = given.text(name);
  if (value === "") throw new OfflineUsageError(`--${name} is missing`);
  return value;
}

function count(given: OfflineArguments, name: string): number | undefined {
  const value = given.text(name);
  if (value === "") return undefined;
  if (!/^\d{1,15}$/.test(value)) throw new OfflineUsageError(`--${name} is a number, not "${value}"`);
  return Number(value);
}
