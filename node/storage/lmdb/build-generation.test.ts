import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { test } from "node:test";
import type { Engine } from "../../lib/backend.ts";
import { textOf, utf8 } from "../../lib/bytes.ts";
import { flushed, put } from "../engine-contract.ts";
import { buildGeneration } from "./build-generation.ts";
import { nodeStoreDisk, StoreFolder } from "./store-folder.ts";
import { closed, newMemberPath, openEngine } from "./test-store.ts";
import { Crash, crashingDisk } from "./testing/crashing-disk.ts";
import { walkStore } from "./walk.ts";

const key = utf8("key");

function filling(text: string): (engine: Engine) => Promise<void> {
  return async (engine) => {
    await flushed(engine, [put("meta", "key", text)]);
    await flushed(engine, [put("lease", "other", text)]);
  };
}

async function contentOf(memberPath: string): Promise<string | undefined> {
  if (new StoreFolder(memberPath).livePath === undefined) return undefined;
  const engine = openEngine(memberPath);
  const value = engine.get("meta", key);
  const other = engine.get("lease", utf8("other"));
  await closed(engine);
  assert.deepEqual(other, value, "a store is there as a whole or not at all");
  return value === undefined ? undefined : textOf(value);
}

async function finish(memberPath: string): Promise<void> {
  const live = new StoreFolder(memberPath).livePath;
  if (live !== undefined) await new Promise((done) => walkStore(live, done));
}

for (const before of [undefined, "before"])
  test(`a crash at any step leaves ${before === undefined ? "no store" : "the store before"} or the built one`, async () => {
    const seen = new Set<string | undefined>();
    for (let changesMax = 0; ; changesMax++) {
      const memberPath = newMemberPath();
      if (before !== undefined) await buildGeneration(memberPath, filling(before));
      let isWhole = false;
      try {
        await buildGeneration(memberPath, filling("built"), crashingDisk(changesMax));
        isWhole = true;
      } catch (error) {
        assert.ok(error instanceof Crash, String(error));
      }
      const content = await contentOf(memberPath);
      seen.add(content);
      const stores = readdirSync(memberPath).filter((name) => name.startsWith("store-"));
      assert.equal(stores.length, content === undefined ? 0 : 1, stores.join());
      // Whatever was left, it can be done again.
      await buildGeneration(memberPath, filling("again"));
      assert.equal(await contentOf(memberPath), "again");
      await finish(memberPath);
      if (isWhole) break;
      assert.ok(changesMax < 100, "a build has few steps");
    }
    assert.deepEqual([...seen], [before, "built"]);
  });

test("a store that cannot be filled leaves the live one and nothing else", async () => {
  const memberPath = newMemberPath();
  await buildGeneration(memberPath, filling("before"));
  const failing = async (engine: Engine): Promise<void> => {
    await flushed(engine, [put("meta", "key", "half")]);
    throw new Error("the source is damaged");
  };
  await assert.rejects(buildGeneration(memberPath, failing, nodeStoreDisk), /the source is damaged/);
  assert.equal(await contentOf(memberPath), "before");
  assert.equal(readdirSync(memberPath).filter((name) => name.startsWith("store-")).length, 1);
  await finish(memberPath);
});
