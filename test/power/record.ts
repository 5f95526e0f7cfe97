// Records a member under load: builds the recorder, runs the member twice on one data directory with clients
// writing, and returns the trace with the history.

import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { SeededRandom } from "../../node/lib/random.ts";
import { TestClient } from "../conformance/client.ts";
import type { Message } from "../conformance/messages.ts";
import { preloadLibrary } from "../tools/preload.ts";
import { completeHistory, type Operation } from "./history.ts";
import { markAcknowledged, readTrace, type TraceEvent } from "./trace.ts";

export const mutants = ["answer-before-sync", "no-directory-sync", "index-in-own-transaction"] as const;
export type Mutant = (typeof mutants)[number];

export interface Recording {
  readonly events: readonly TraceEvent[];
  readonly history: readonly Operation[];
  /** Everything recorded lies below the directory that it is in. */
  readonly dataDir: string;
}

const readyLine = "ready to serve client requests";
const checkout = join(import.meta.dirname, "..", "..");

/** `root` is an empty directory. */
export async function recordMember(root: string, writes: number, mutant?: Mutant): Promise<Recording> {
  // The data directory's own name is part of what can be lost.
  const disk = join(root, "disk");
  mkdirSync(disk);
  const dataDir = join(disk, "data");
  const traceFile = join(root, "trace");
  const recorder = preloadLibrary(join(import.meta.dirname, "recorder.c"));
  const operations: Operation[] = [];
  for (const life of [1, 2]) {
    const { client: port, peer } = await freePorts();
    const flags = memberFlags(dataDir, port, peer);
    const env = {
      ...process.env,
      LD_PRELOAD: recorder,
      RECORD_ROOT: disk,
      RECORD_FILE: traceFile,
      UV_USE_IO_URING: "0",
      ...(mutant === undefined ? {} : { POWER_MUTANT: mutant }),
    };
    const before =
      mutant === "no-directory-sync"
        ? ["--import", join(import.meta.dirname, "without-directory-sync.ts")]
        : [];
    const argv = [...before, join(import.meta.dirname, "member.ts"), ...flags];
    const member = spawn(process.execPath, argv, { env, cwd: checkout, stdio: ["ignore", "ignore", "pipe"] });
    await ready(member);
    const client = new TestClient(`127.0.0.1:${port}`);
    await load(client, { life, writes: Math.ceil(writes / 2), operations, traceFile });
    client.close();
    await stopped(member);
  }
  return { events: readTrace(traceFile), history: completeHistory(operations), dataDir };
}

/** A member's id comes from it: every life of one has the same, wherever it listens. */
const advertisedPeerUrl = "http://127.0.0.1:2380";

/** Small segments and frequent flushes and snapshots, so that a short run has many of each. */
export function memberFlags(dataDir: string, clientPort: number, peerPort: number): string[] {
  const clientUrl = `http://127.0.0.1:${clientPort}`;
  return [
    ...["--name", "power", "--data-dir", dataDir],
    ...["--listen-client-urls", clientUrl, "--advertise-client-urls", clientUrl],
    ...["--listen-peer-urls", `http://127.0.0.1:${peerPort}`],
    ...[
      "--initial-advertise-peer-urls",
      advertisedPeerUrl,
      "--initial-cluster",
      `power=${advertisedPeerUrl}`,
    ],
    ...["--wal-segment-bytes", "65536", "--snapshot-count", "60", "--snapshot-catchup-entries", "20"],
    ...["--backend-batch-interval", "30ms"],
  ];
}

interface Load {
  readonly life: number;
  readonly writes: number;
  readonly operations: Operation[];
  readonly traceFile: string;
}

/** Four clients, so that syncs are shared, each waiting for its answer before it goes on. */
async function load(client: TestClient, { life, writes, operations, traceFile }: Load): Promise<void> {
  let next = 0;
  const one = async (seed: number): Promise<void> => {
    const random = new SeededRandom(seed);
    while (next < writes) {
      const number = next++;
      const key = `key${random.below(60)}`;
      const isDelete = random.below(10) === 0;
      const value = `${life}.${number}.${"v".repeat(random.below(900))}`;
      const outcome = isDelete
        ? await client.call("DeleteRange", { key })
        : await client.call("Put", { key, value });
      if (!outcome.ok) throw new Error(`a write failed: ${outcome.text}`);
      const { response } = outcome;
      // Deleting a key that is not there makes no revision.
      if (isDelete && response["deleted"] !== 1n) continue;
      const revision = Number((response["header"] as Message)["revision"]);
      markAcknowledged(traceFile, revision);
      operations.push({ revision, key, value: isDelete ? undefined : value });
    }
  };
  await Promise.all([1, 2, 3, 4].map((each) => one(life * 10 + each)));
}

function ready(member: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    let seen = "";
    member.stderr?.on("data", (chunk: Buffer) => {
      seen = (seen + chunk.toString("utf8")).slice(-64 * 1024);
      if (seen.includes(readyLine)) resolve();
    });
    member.on("error", reject);
    member.on("exit", (code) => reject(new Error(`the member ended with ${code}:\n${seen.slice(-4000)}`)));
  });
}

function stopped(member: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    member.on("exit", () => resolve());
    member.kill("SIGTERM");
  });
}

export async function freePorts(): Promise<{ readonly client: number; readonly peer: number }> {
  const servers = [createServer(), createServer()];
  const ports = await Promise.all(
    servers.map(
      (server) =>
        new Promise<number>((resolve, reject) => {
          server.on("error", reject);
          server.listen(0, "127.0.0.1", () => resolve((server.address() as { port: number }).port));
        }),
    ),
  );
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  const [client = 0, peer = 0] = ports;
  return { client, peer };
}
