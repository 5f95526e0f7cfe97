// Clients in three languages against one member: Go's clientv3, Python's grpcio, grpc-js.
import { spawn } from "node:child_process";
import { join } from "node:path";
import { type Member, start } from "../tools/member.ts";
import { pythonWithGrpc } from "../tools/python.ts";
import { toolPath } from "../tools/toolchain.ts";
import { grpcJsChecks } from "./grpc-js-checks.ts";
import type { Report } from "./main.ts";

const programMsMax = 300_000;

interface Line {
  readonly name: string;
  readonly error?: string | null;
}

export async function runClients(report: Report): Promise<void> {
  const [go, python] = await Promise.all([toolPath("clientv3-checks"), pythonWithGrpc()]);
  const member = await start({ kind: "etcdlike" });
  try {
    await runProgram(report, "clientv3", [go, member.endpoint], 18);
    await runProgram(
      report,
      "grpcio",
      [python, join(import.meta.dirname, "clients.py"), member.endpoint],
      12,
    );
    for (const [name, check] of Object.entries(grpcJsChecks)) {
      report(`grpc-js: ${name}`, await problemOf(() => check(member.endpoint)));
    }
    report(
      "the member stops while clients watch, and tells them",
      await problemOf(() => stopUnderWatch(member)),
    );
  } finally {
    await member.stop();
  }
}

async function stopUnderWatch(member: Member): Promise<void> {
  const { watchUntilEnd } = await import("./grpc-js-checks.ts");
  const ended = watchUntilEnd(member.endpoint);
  await ended.isWatching;
  await member.stop();
  const text = await ended.failure;
  if (!text.startsWith("14 UNAVAILABLE"))
    throw new Error(`the watch ended with ${text}, expected UNAVAILABLE`);
}

async function runProgram(
  report: Report,
  client: string,
  [program, ...args]: readonly [string, ...string[]],
  count: number,
): Promise<void> {
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "inherit"], timeout: programMsMax });
  let output = "";
  child.stdout.on("data", (chunk: Buffer) => {
    output += chunk.toString();
  });
  await new Promise((resolve, reject) => child.on("close", resolve).on("error", reject));
  const lines = output
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line) as Line);
  for (const { name, error } of lines) report(`${client}: ${name}`, error ?? undefined);
  if (lines.length !== count) report(`${client} runs its checks`, `${lines.length} of ${count} checks ran`);
}

async function problemOf(check: () => Promise<void>): Promise<string | undefined> {
  try {
    await check();
    return undefined;
  } catch (error) {
    return String(error);
  }
}
