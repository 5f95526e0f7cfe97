import assert from "node:assert/strict";
import { test } from "node:test";
import { ApiError, type KubeClient } from "../kube/client.ts";
import { ManualClock } from "../runtime/testing/manual-clock.ts";
import { secretReader } from "./secret-reader.ts";

test("an answer serves for half a minute, and what is not there is asked for every time", async () => {
  let [requests, isThere] = [0, false];
  const client: KubeClient = {
    async request({ path }) {
      requests++;
      assert.equal(path, "/api/v1/namespaces/apps/secrets/given");
      if (!isThere) throw new ApiError({ status: 404, reason: "NotFound", message: "no" });
      return { metadata: { name: "given", resourceVersion: String(requests) } };
    },
    watch: () => Promise.reject(new Error("nothing is watched")),
  };
  const clock = new ManualClock();
  const read = secretReader(client, clock);
  const version = async () => (await read("apps", "given"))?.metadata.resourceVersion;
  assert.deepEqual([await version(), await version()], [undefined, undefined]);
  isThere = true;
  assert.deepEqual([await version(), await version()], ["3", "3"]);
  await clock.advance(30_000);
  assert.deepEqual([await version(), await version()], ["4", "4"]);
});

test("an API server that refuses is an error, not a Secret that is not there", async () => {
  const client: KubeClient = {
    request: () => Promise.reject(new ApiError({ status: 403, reason: "Forbidden", message: "no" })),
    watch: () => Promise.reject(new Error("nothing is watched")),
  };
  await assert.rejects(secretReader(client, new ManualClock())("apps", "given"), { status: 403 });
});
