// The JSON gateway as curl sees it, and what is too much for one turn of the member.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { start } from "../tools/member.ts";
import { toolPath } from "../tools/toolchain.ts";
import { binPath, nodePath, Running } from "./support/command.ts";
import { subject } from "./support/mode.ts";
import { scratchFolder } from "./support/scratch.ts";

const run = promisify(execFile);
const outputBytesMax = 16 * 1024 * 1024;

async function curl(...args: readonly string[]): Promise<string> {
  const options = ["--silent", "--show-error", "--max-time", "30"];
  return (await run("curl", [...options, ...args], { maxBuffer: outputBytesMax })).stdout;
}

/** For bodies that are too long for a command line. */
async function post(clientUrl: string, path: string, message: unknown): Promise<string> {
  const response = await fetch(`${clientUrl}/v3/${path}`, { method: "POST", body: JSON.stringify(message) });
  const text = await response.text();
  assert.equal(response.status, 200, text);
  return text;
}

const base64 = (text: string): string => Buffer.from(text).toString("base64");

test("curl writes, reads and watches", async (t) => {
  const member = await start({ kind: subject });
  t.after(() => member.stop());
  const url = (path: string): string => `${member.clientUrl}/v3/${path}`;
  const watched = { create_request: { key: base64("greeting") } };
  const watch = new Running(["curl", "--silent", "--no-buffer", url("watch"), "-d", JSON.stringify(watched)]);
  await watch.printed(`"created":true`);
  const put = { key: base64("greeting"), value: base64("hello") };
  assert.match(await curl(url("kv/put"), "-d", JSON.stringify(put)), /"revision":"2"/);
  await watch.printed(`"value":"${put.value}"`);
  watch.child.kill();
  await watch.finished;
  const answer = JSON.parse(await curl(url("kv/range"), "-d", JSON.stringify({ key: put.key })));
  assert.deepEqual(answer.kvs, [{ ...put, create_revision: "2", mod_revision: "2", version: "1" }]);
  const metrics = await curl(`${member.clientUrl}/metrics`);
  const ended = (method: string): string | undefined =>
    metrics
      .split("\n")
      .find((line) => /^grpc_server_handled_total\{.*"OK"/.test(line) && line.includes(`"${method}"`))
      ?.split(" ")[1];
  assert.equal(ended("Put"), "1");
  assert.equal(ended("Range"), "1");
});

test("a snapshot that came in JSON is a snapshot", async (t) => {
  const member = await start({ kind: subject });
  t.after(() => member.stop());
  for (let i = 0; i < 20; i++) {
    const put = { key: base64(`key ${i}`), value: base64("x".repeat(100_000)) };
    await post(member.clientUrl, "kv/put", put);
  }
  const lines = (await curl(`${member.clientUrl}/v3/maintenance/snapshot`, "-d", "{}")).trim().split("\n");
  const blobs = lines.map((line) => Buffer.from(JSON.parse(line).result.blob ?? "", "base64"));
  const file = join(await scratchFolder(t), "snapshot.db");
  await writeFile(file, Buffer.concat(blobs));
  for (const command of [[await toolPath("etcdutl")], [nodePath, binPath]]) {
    const [program = "", ...args] = [...command, "snapshot", "status", file, "--write-out", "json"];
    assert.equal(JSON.parse((await run(program, args)).stdout).totalKey, 20);
  }
});

test("long ranges leave as JSON, several at once", async (t) => {
  const member = await start({ kind: subject });
  t.after(() => member.stop());
  const value = base64("v".repeat(1000));
  for (let i = 0; i < 300; i++) {
    const success = Array.from({ length: 100 }, (_, j) => ({
      request_put: { key: base64(`key ${String(i * 100 + j).padStart(6, "0")}`), value },
    }));
    await post(member.clientUrl, "kv/txn", { success });
  }
  const ranges = Array.from({ length: 3 }, () =>
    post(member.clientUrl, "kv/range", { key: "AA==", range_end: "AA==" }),
  );
  const texts = await Promise.all(ranges);
  for (const text of texts) {
    const { kvs, count } = JSON.parse(text);
    assert.deepEqual([kvs.length, count, kvs.at(-1).key], [30_000, "30000", base64("key 029999")]);
  }
});

test("--enable-grpc-gateway=false removes it", async (t) => {
  const member = await start({ kind: subject, flags: ["--enable-grpc-gateway=false"] });
  t.after(() => member.stop());
  const status = ["--write-out", "%{http_code}", "-d", "{}"];
  assert.equal(await curl(`${member.clientUrl}/v3/kv/range`, ...status), "404 page not found\n404");
  assert.match(await curl(`${member.clientUrl}/health`), /"true"/);
});
