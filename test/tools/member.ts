// Starts and stops one real member, ours or etcd's, as a process of its own on free loopback ports with a
// temporary data directory. Both take the same flags, so everything above is written once.
import { type ChildProcess, spawn } from "node:child_process";
import { createWriteStream } from "node:fs";
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { must } from "../../node/lib/assert.ts";
import { toolPath } from "./toolchain.ts";

export type MemberKind = "etcd" | "etcdlike";

export interface MemberOptions {
  readonly kind: MemberKind;
  /** Which etcd, by the name of its tool: `etcd-3.5`, `etcd-3.7`; `etcd` otherwise. */
  readonly tool?: string;
  /** Further flags, after the ones every member gets. */
  readonly flags?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Fixed ports, for output that shows them; free ones otherwise. */
  readonly ports?: { readonly client: number; readonly peer: number };
  /** An existing data directory, which `stop` then leaves alone; a temporary one otherwise. */
  readonly dataDir?: string;
  readonly readyTimeoutMs?: number;
  /** The address it listens on and is reached at; loopback otherwise. */
  readonly host?: string;
  /** A command that becomes the member's process, such as one that enters a network namespace. */
  readonly prefix?: readonly string[];
}

export const loopback = "127.0.0.1";

export interface Member {
  readonly kind: MemberKind;
  readonly clientUrl: string;
  /** Host and port, as gRPC clients want it. */
  readonly endpoint: string;
  readonly peerUrl: string;
  readonly ports: { readonly client: number; readonly peer: number };
  readonly pid: number;
  readonly dataDir: string;
  readonly logFile: string;
  /** From process start until the readiness log line. */
  readonly readyMs: number;
  /** The exit code, once the process has ended; `null` when a signal ended it. */
  readonly exited: Promise<number | null>;
  /** SIGTERM, waits, and removes what `start` created. */
  stop(): Promise<void>;
  /** SIGKILL; the data directory stays. */
  kill(): Promise<void>;
}

const checkout = join(import.meta.dirname, "..", "..");
const readyLine = "ready to serve client requests";
const stopTimeoutMs = 20_000;
const logTailBytes = 4_000;

export async function start(options: MemberOptions): Promise<Member> {
  const ports = options.ports ?? (await freePorts());
  const host = options.host ?? loopback;
  const clientUrl = `http://${host}:${ports.client}`;
  const peerUrl = `http://${host}:${ports.peer}`;
  const scratch = await mkdtemp(join(tmpdir(), `${options.kind}-test-`));
  const dataDir = options.dataDir ?? join(scratch, "data");
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  const logFile = join(scratch, "log");
  const flags = [
    ...["--name", "default", "--data-dir", dataDir],
    ...["--listen-client-urls", clientUrl, "--advertise-client-urls", clientUrl],
    ...["--listen-peer-urls", peerUrl, "--initial-advertise-peer-urls", peerUrl],
    ...["--initial-cluster", `default=${peerUrl}`],
    ...(options.flags ?? []),
  ];
  const command = await commandOf(options);
  const startedAt = performance.now();
  const [program, ...args] = [...(options.prefix ?? []), ...command];
  const child = spawn(must(program, "a command has a program"), [...args, ...flags], {
    cwd: scratch,
    env: { ...process.env, ...options.env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const exited = new Promise<number | null>((resolve, reject) => {
    child.on("error", reject);
    child.on("exit", resolve);
  });
  const stopWithParent = () => child.kill("SIGKILL");
  process.once("exit", stopWithParent);
  void exited.finally(() => process.off("exit", stopWithParent));

  try {
    await ready(child, exited, logFile, options.readyTimeoutMs ?? 30_000);
  } catch (error) {
    child.kill("SIGKILL");
    const tail = (await readFile(logFile, "utf8")).slice(-logTailBytes);
    await rm(scratch, { recursive: true, force: true });
    throw new Error(`${options.kind} did not become ready; the end of its log:\n${tail}`, { cause: error });
  }
  const readyMs = performance.now() - startedAt;

  return {
    kind: options.kind,
    clientUrl,
    endpoint: `${host}:${ports.client}`,
    peerUrl,
    ports,
    pid: child.pid ?? 0,
    dataDir,
    logFile,
    readyMs,
    exited,
    async stop() {
      child.kill("SIGTERM");
      const timer = setTimeout(() => child.kill("SIGKILL"), stopTimeoutMs);
      await exited;
      clearTimeout(timer);
      await rm(scratch, { recursive: true, force: true });
    },
    async kill() {
      child.kill("SIGKILL");
      await exited;
    },
  };
}

async function commandOf({ kind, tool }: MemberOptions): Promise<readonly [string, ...string[]]> {
  if (kind === "etcd") return [await toolPath(tool ?? "etcd")];
  return [join(checkout, "node_modules", ".bin", "node"), join(checkout, "node", "bin.mjs")];
}

/** Copies the process's output to its log file and resolves at the line that says it serves. */
function ready(
  child: ChildProcess,
  exited: Promise<number | null>,
  logFile: string,
  timeoutMs: number,
): Promise<void> {
  const log = createWriteStream(logFile);
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`not ready after ${timeoutMs} ms`)), timeoutMs);
    let seen = "";
    const onChunk = (chunk: Buffer) => {
      log.write(chunk);
      if (seen.includes(readyLine)) return;
      seen = (seen + chunk.toString("latin1")).slice(-64 * 1024);
      if (!seen.includes(readyLine)) return;
      clearTimeout(timer);
      resolve();
    };
    child.stdout?.on("data", onChunk);
    child.stderr?.on("data", onChunk);
    exited.then(
      (code) => {
        clearTimeout(timer);
        log.end(() => reject(new Error(`the process ended with ${code}`)));
      },
      (error: unknown) => {
        clearTimeout(timer);
        log.end(() => reject(error));
      },
    );
  });
}

const firstPort = 20_000;
const portCount = 10_000;
const portAttempts = 100;

/** Two different ports nobody listens on, below the range the kernel gives to outgoing connections. */
export async function freePorts(): Promise<{ client: number; peer: number }> {
  const found: number[] = [];
  for (let attempt = 0; attempt < portAttempts && found.length < 2; attempt++) {
    const port = firstPort + Math.floor(Math.random() * portCount);
    if (!found.includes(port) && (await isFree(port))) found.push(port);
  }
  const [client, peer] = found;
  if (client === undefined || peer === undefined) throw new Error("no free loopback ports found");
  return { client, peer };
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.on("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}
