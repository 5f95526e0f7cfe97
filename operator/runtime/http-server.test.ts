import assert from "node:assert/strict";
import { test } from "node:test";
import { startHttpServer } from "./http-server.ts";
import { createMetrics } from "./metrics.ts";

test("health says which check fails, and metrics carry what the sources give", async (t) => {
  let problem: string | undefined = "not synced: pods";
  let clusters = [{ namespace: "n", name: "gone", isReady: true }];
  const metrics = createMetrics({
    queueDepth: () => 3,
    queueAdds: () => 7,
    queueRetries: () => 1,
    isLeader: () => true,
    watchSilenceSeconds: () => ({ pods: 2 }),
    certificates: () => [
      { namespace: "default", name: "one", plane: "Peer", expiresAtSeconds: 1_800_000_000 },
    ],
    readyClusters: () => clusters,
  });
  metrics.request("GET", 200);
  const { server, port } = await startHttpServer({
    port: 0,
    host: "127.0.0.1",
    registry: metrics.registry,
    live: [{ name: "watches", problem: () => undefined }],
    ready: [{ name: "caches", problem: () => problem }],
  });
  t.after(() => server.close());
  const get = async (path: string) => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`);
    return [response.status, await response.text()] as const;
  };
  assert.deepEqual(await get("/livez"), [200, "[+]watches ok\n"]);
  assert.deepEqual(await get("/readyz"), [503, "[-]caches not synced: pods\n"]);
  problem = undefined;
  assert.deepEqual(await get("/readyz"), [200, "[+]caches ok\n"]);
  assert.match((await get("/metrics"))[1], /etcdlike_cluster_ready\{namespace="n",cluster="gone"\} 1/);
  clusters = [{ namespace: "n", name: "here", isReady: false }];
  const [, text] = await get("/metrics");
  assert.match(text, /workqueue_depth 3\n/);
  assert.match(text, /workqueue_adds_total 7\n/);
  assert.match(text, /leader_election_master_status 1\n/);
  assert.match(text, /rest_client_requests_total\{method="GET",code="200"\} 1/);
  assert.match(text, /etcdlike_cluster_ready\{namespace="n",cluster="here"\} 0/);
  assert.match(
    text,
    /etcdlike_operator_certificate_expiry_timestamp_seconds\{namespace="default",cluster="one",plane="Peer"\} 1800000000\n/,
  );
  assert.doesNotMatch(text, /gone/);
  assert.equal((await get("/other"))[0], 404);
});
