#!/usr/bin/env node
// The command. Plain JavaScript so that any Node can at least read it: the program itself is TypeScript and
// needs a Node that runs it directly. An older Node hands over to the one installed as a dependency.

import { spawn } from "node:child_process";
import { existsSync, realpathSync } from "node:fs";
// As a whole: a name that an older Node lacks would end it before it can hand over.
import module from "node:module";
import { constants } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const required = [24, 18, 1];

function isRecentEnough(version) {
  const parts = version.split(".").map(Number);
  for (let i = 0; i < required.length; i++) {
    if (parts[i] !== required[i]) return parts[i] > required[i];
  }
  return true;
}

/** The platform package's binary, in our own node_modules or in that of whoever installed us. */
function findNode(folder) {
  for (let at = folder; ; at = dirname(at)) {
    const candidate = join(at, "node_modules", ".bin", "node");
    if (existsSync(candidate)) return candidate;
    if (at === dirname(at)) return undefined;
  }
}

const self = realpathSync(fileURLToPath(import.meta.url));

if (isRecentEnough(process.versions.node)) {
  if (process.env.ETCDLIKE_NODE_FOUND !== undefined && process.channel !== undefined) {
    process.on("disconnect", () => process.kill(process.pid, "SIGKILL"));
    process.channel.unref();
  }
  // A quarter of a start is compiling. Where the folder cannot be written, nothing is kept and nothing is lost.
  // By the environment, since that is how threads get it: without, each one strips and compiles its modules anew.
  process.env.NODE_COMPILE_CACHE ??= join(dirname(dirname(self)), "node_modules", ".cache", "etcdlike");
  module.enableCompileCache(process.env.NODE_COMPILE_CACHE);
  const { main } = await import("./main.ts");
  await main(process.argv.slice(2), process.env);
} else {
  const node = process.env.ETCDLIKE_NODE_FOUND === undefined ? findNode(dirname(dirname(self))) : undefined;
  if (node === undefined) {
    const wanted = required.join(".");
    console.error(
      `etcdlike needs Node ${wanted} or newer; this is ${process.versions.node}. Install Node 24, or run ` +
        `npm install without --omit=optional so that its platform package brings one.`,
    );
    process.exit(1);
  }
  handOver(node);
}

/** Becomes the other Node where this one can; else starts it and stands for it. */
function handOver(node) {
  const environment = { ...process.env, ETCDLIKE_NODE_FOUND: "1" };
  const argv = [self, ...process.argv.slice(2)];
  if (typeof process.execve === "function") process.execve(node, [node, ...argv], environment);
  // The channel tells the member when this process was killed, so that it does not live on alone.
  const member = spawn(node, argv, { stdio: ["inherit", "inherit", "inherit", "ipc"], env: environment });
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP", "SIGUSR2"]) {
    process.on(signal, () => member.kill(signal));
  }
  member.on("error", (error) => {
    console.error(`etcdlike cannot run ${node}: ${error.message}`);
    process.exit(1);
  });
  member.on("exit", (code, signal) => process.exit(code ?? 128 + (constants.signals[signal] ?? 0)));
}
