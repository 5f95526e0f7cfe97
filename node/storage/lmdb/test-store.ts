// Stores for tests: open one in a folder of its own, and leave nothing behind.

import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { FatalError } from "../../lib/fatal.ts";
import { LmdbEngine } from "./engine.ts";
import { walkStore } from "./walk.ts";

export function newMemberPath(): string {
  return mkdtempSync(join(tmpdir(), "etcdlike-store-"));
}

export function openEngine(
  memberPath: string,
  onFatal = (error: FatalError): void => assert.fail(error),
): LmdbEngine {
  return new LmdbEngine({ memberPath, onFatal });
}

export function closed(engine: LmdbEngine): Promise<void> {
  return new Promise((resolve) => engine.close(resolve));
}

/** Reads every record of the closed store, then removes it. Nothing but the live generation is left of it. */
export function walkAndRemove(memberPath: string): Promise<void> {
  return new Promise((resolve) => {
    const live = readFileSync(`${memberPath}/CURRENT`, "utf8").trim();
    const stores = readdirSync(memberPath).filter((name) => name.startsWith("store-"));
    assert.deepEqual(stores, [live]);
    walkStore(`${memberPath}/${live}`, () => {
      rmSync(memberPath, { recursive: true });
      resolve();
    });
  });
}
