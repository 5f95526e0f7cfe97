// Libraries that are preloaded into a member to stand between it and the kernel: compiled once for each version of their
// source.

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync } from "node:fs";
import { basename, join } from "node:path";
import { toolCache } from "./lock.ts";

/** The path of the library made from a C file. */
export function preloadLibrary(source: string): string {
  const name = basename(source, ".c");
  const hash = createHash("sha256").update(readFileSync(source)).digest("hex").slice(0, 16);
  const folder = join(toolCache, `preload-${name}-${hash}`);
  const library = join(folder, `${name}.so`);
  if (existsSync(library)) return library;
  mkdirSync(folder, { recursive: true });
  const unfinished = join(folder, `${process.pid}.so`);
  const flags = ["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"];
  execFileSync("gcc", [...flags, "-o", unfinished, source, "-ldl", "-lpthread"], { stdio: "inherit" });
  renameSync(unfinished, library);
  return library;
}
