// Locks between all processes of this machine, for what must not be made twice at once.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";

/** Where built programs are kept; `XDG_CACHE_HOME` moves it. */
export const toolCache = join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "etcdlike-tools");

/** Does the work while no other process does work of this name; waits for it without end. */
export async function exclusively<T>(name: string, work: () => Promise<T>): Promise<T> {
  await mkdir(toolCache, { recursive: true });
  // cat holds the lock until its input ends, and it ends as well when this process is killed.
  const holder = spawn("flock", [join(toolCache, `${name}.lock`), "sh", "-c", "echo held; exec cat"], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  await once(holder.stdout, "data");
  try {
    return await work();
  } finally {
    holder.stdin.end();
    await once(holder, "close");
  }
}
