// The two load generators: h2load, which sends one gRPC request over and over, and etcd's own benchmark.
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { InputMessage } from "../conformance/messages.ts";
import { encode } from "../conformance/messages.ts";
import { debianTool } from "../tools/debian.ts";
import type { Member } from "../tools/member.ts";
import { toolPath } from "../tools/toolchain.ts";

export interface LoadResult {
  readonly calls: number;
  readonly callsPerSecond: number;
}

export interface Latencies {
  readonly meanMs: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

export interface Concurrency {
  readonly connections: number;
  /** Calls in flight on each connection. */
  readonly streams: number;
}

/** Members run for months: what is measured is one whose code is compiled and whose caches are filled. */
export const warmUpDivisor = 2;
/** Of the calls, so many are timed one by one, after the others. */
export const timedDivisor = 4;

const loadTimeoutMs = 300_000;
const grpcPrefixBytes = 5;

export interface GrpcCall {
  readonly path: string;
  readonly type: string;
  readonly request: InputMessage;
}

export async function h2load(
  member: Member,
  call: GrpcCall,
  calls: number,
  concurrency: Concurrency,
  url = member.clientUrl,
): Promise<LoadResult> {
  const { callsPerSecond } = await runH2load({ call, calls, concurrency, url, isTimed: false });
  return { calls, callsPerSecond };
}

/** The same load in a run of its own: a line for each call costs h2load more than the call. */
export async function h2loadLatencies(
  member: Member,
  call: GrpcCall,
  calls: number,
  concurrency: Concurrency,
  url = member.clientUrl,
): Promise<Latencies> {
  const { durationsMs } = await runH2load({ call, calls, concurrency, url, isTimed: true });
  return {
    meanMs: durationsMs.reduce((sum, ms) => sum + ms, 0) / durationsMs.length,
    p50Ms: quantile(durationsMs, 0.5),
    p99Ms: quantile(durationsMs, 0.99),
  };
}

interface H2load {
  readonly call: GrpcCall;
  readonly calls: number;
  readonly concurrency: Concurrency;
  readonly url: string;
  readonly isTimed: boolean;
}

/** Durations are in ascending order, and there are none of a run that is not timed. */
async function runH2load({
  call,
  calls,
  concurrency,
  url,
  isTimed,
}: H2load): Promise<{ readonly callsPerSecond: number; readonly durationsMs: readonly number[] }> {
  const { connections, streams } = concurrency;
  const folder = await mkdtemp(join(tmpdir(), "h2load-"));
  try {
    const message = encode(call.type, call.request);
    const body = Buffer.alloc(grpcPrefixBytes + message.length);
    body.writeUInt32BE(message.length, 1);
    message.copy(body, grpcPrefixBytes);
    const [bodyFile, log] = [join(folder, "body"), join(folder, "log")];
    await writeFile(bodyFile, body);
    const output = await run(await debianTool("h2load"), [
      ...["-n", String(calls), "-c", String(connections), "-m", String(streams), "-d", bodyFile],
      ...["-H", "content-type: application/grpc", "-H", "te: trailers"],
      ...(isTimed ? [`--log-file=${log}`] : []),
      `${url}${call.path}`,
    ]);
    const succeeded = Number(/(\d+) succeeded/.exec(output)?.[1] ?? 0);
    if (succeeded !== calls) throw new Error(`h2load: ${succeeded} of ${calls} calls succeeded\n${output}`);
    const callsPerSecond = Number(/([\d.]+) req\/s/.exec(output)?.[1] ?? Number.NaN);
    if (!isTimed) return { callsPerSecond, durationsMs: [] };
    // Each line of the log: start in microseconds, status, duration in microseconds.
    const durationsMs = (await readFile(log, "utf8"))
      .trimEnd()
      .split("\n")
      .map((line) => Number(line.split("\t")[2]) / 1_000)
      .sort((a, b) => a - b);
    return { callsPerSecond, durationsMs };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Runs etcd's benchmark; `section` is the heading of the summary to read where it prints several. */
export async function benchmark(
  member: Pick<Member, "endpoint">,
  args: readonly string[],
  calls: number,
  { connections, streams }: Concurrency,
  section = "",
): Promise<LoadResult & Latencies> {
  const clients = ["--conns", String(connections), "--clients", String(connections * streams)];
  const output = await run(await toolPath("benchmark"), [
    "--endpoints",
    member.endpoint,
    ...clients,
    ...args,
  ]);
  const text = section === "" ? output : output.slice(output.lastIndexOf(section));
  const errors = /Error distribution:[\s\S]*/.exec(text)?.[0];
  if (errors !== undefined) throw new Error(`benchmark ${args.join(" ")}: ${errors}`);
  return {
    calls,
    callsPerSecond: Number(/Requests\/sec:\s+(\S+)/.exec(text)?.[1] ?? Number.NaN),
    meanMs: Number(/Average:\s+(\S+) secs/.exec(text)?.[1] ?? Number.NaN) * 1_000,
    p50Ms: Number(/50% in (\S+) secs/.exec(text)?.[1] ?? Number.NaN) * 1_000,
    p99Ms: Number(/99% in (\S+) secs/.exec(text)?.[1] ?? Number.NaN) * 1_000,
  };
}

export function quantile(sorted: readonly number[], q: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? Number.NaN;
}

function run(program: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], timeout: loadTimeoutMs });
    let output = "";
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (chunk: Buffer) => {
        output += chunk.toString();
      });
    child.on("error", reject);
    child.on("close", (code, signal) => {
      if (code === 0) resolve(output);
      else
        reject(
          new Error(`${program} ${args.join(" ")} ended with ${code ?? signal}\n${output.slice(-2_000)}`),
        );
    });
  });
}
