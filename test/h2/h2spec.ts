// h2spec against a real member in clear text, on a path of the HTTP routes and on one of gRPC, and over TLS.
import { spawn } from "node:child_process";
import { start } from "../tools/member.ts";
import { secureListener } from "../tools/secure.ts";
import { toolPath } from "../tools/toolchain.ts";
import type { Report } from "./main.ts";

const testCount = 145;
/** How long h2spec waits for what must come. */
const answerSeconds = 5;
const runMsMax = 400_000;

export async function runH2spec(report: Report): Promise<void> {
  const program = await toolPath("h2spec");
  const secure = await secureListener();
  const member = await start({
    kind: "etcdlike",
    ports: secure.ports,
    // One test opens a stream more than allowed.
    flags: [...secure.flags, "--max-concurrent-streams", "100"],
  });
  const clear = ["-p", String(member.ports.client)];
  const tls = ["-t", "-k", "-p", String(secure.port)];
  try {
    for (const path of ["/version", "/etcdserverpb.KV/Range"]) {
      report(`h2spec, clear text, ${path}`, await h2spec(program, [...clear, "-P", path]));
    }
    report("h2spec, TLS, /version", await h2spec(program, [...tls, "-P", "/version"]));
  } finally {
    await member.stop();
    await secure.remove();
  }
}

async function h2spec(program: string, args: readonly string[]): Promise<string | undefined> {
  const output = await outputOf(program, ["-h", "127.0.0.1", "--timeout", String(answerSeconds), ...args]);
  const summary = /(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed/.exec(output);
  const [all, passed] = [Number(summary?.[1]), Number(summary?.[2])];
  if (all === testCount && passed === testCount) return undefined;
  const failures = output.slice(Math.max(output.indexOf("Failures:"), 0));
  return failures.slice(-4000);
}

function outputOf(program: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], timeout: runMsMax });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (chunk: Buffer) => {
        output += chunk.toString();
      });
    }
    child.on("error", reject);
    child.on("close", () => resolve(output));
  });
}
