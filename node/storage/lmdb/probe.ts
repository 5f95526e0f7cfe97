// Walks a store in a child process, for files that may make LMDB kill the process that reads them.

import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { walkStore } from "./walk.ts";

/** What is wrong with the store, or undefined when every record could be read. */
export function probeStore(folder: string): string | undefined {
  const result = spawnSync(process.execPath, [fileURLToPath(import.meta.url), folder], { encoding: "utf8" });
  if (result.error !== undefined) return result.error.message;
  if (result.signal !== null) return `reading it ends with ${result.signal}`;
  return result.status === 0 ? undefined : result.stderr.trim();
}

if (import.meta.main) {
  try {
    walkStore(process.argv[2] ?? "", () => {});
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
    process.exitCode = 1;
  }
}
