import assert from "node:assert/strict";
import { test } from "node:test";
import { utf8 } from "../lib/bytes.ts";
import { FatalError } from "../lib/fatal.ts";
import { Overlay } from "../mvcc/overlay.ts";
import { MemoryEngine } from "../storage/memory/engine.ts";
import { refuseForeignState } from "./foreign-state.ts";

function refusalOf(bucket: "auth" | "cluster", key: string, value: Uint8Array): string {
  const backend = new Overlay(new MemoryEngine());
  backend.put(bucket, utf8(key), value);
  try {
    refuseForeignState(backend);
  } catch (error) {
    assert.ok(error instanceof FatalError, String(error));
    assert.equal(error.reason, "UNKNOWN_ENTRY");
    return error.message;
  }
  return "served";
}

test("a store with authentication enabled is never served", () => {
  assert.match(refusalOf("auth", "authEnabled", Uint8Array.of(1)), /authEnabled/);
  assert.equal(refusalOf("auth", "authEnabled", Uint8Array.of(0)), "served");
});

test("a store of a newer cluster is refused with what to do about it", () => {
  assert.match(refusalOf("cluster", "clusterVersion", utf8("3.7.0")), /3\.7\.0, .*downgrade enable 3\.6/);
  assert.equal(refusalOf("cluster", "clusterVersion", utf8("3.6.0")), "served");
  assert.equal(refusalOf("cluster", "clusterVersion", utf8("3.5.0")), "served");
});
