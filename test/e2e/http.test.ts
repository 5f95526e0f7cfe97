// The client port over HTTP/1.1 and gRPC side by side: health, version, metrics, and services that are not built.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Client, credentials } from "@grpc/grpc-js";
import { TestClient } from "../conformance/client.ts";
import { type Member, start } from "../tools/member.ts";
import { put } from "./support/kv.ts";
import { freePort } from "./support/scratch.ts";

let member: Member;
let metricsUrl: string;

before(async () => {
  metricsUrl = `http://127.0.0.1:${await freePort()}`;
  member = await start({ kind: "etcdlike", flags: ["--listen-metrics-urls", metricsUrl] });
});

after(() => member.stop());

async function get(path: string, base = member.clientUrl, method = "GET") {
  const response = await fetch(`${base}${path}`, { method });
  const type = response.headers.get("content-type");
  return { status: response.status, type, body: await response.text() };
}

const ok = (body: string) => ({ status: 200, type: "text/plain; charset=utf-8", body });

test("/health answers as etcd does, with its options", async () => {
  for (const path of ["/health", "/health?serializable=true", "/health?exclude=NOSPACE&exclude=CORRUPT"]) {
    const { status, body } = await get(path);
    assert.deepEqual([status, body], [200, '{"health":"true","reason":""}'], path);
  }
  assert.equal((await get("/health", member.clientUrl, "POST")).status, 405);
});

test("/livez and /readyz list, exclude and single out their checks", async () => {
  assert.deepEqual(await get("/livez"), ok("ok\n"));
  assert.deepEqual(await get("/livez?verbose"), ok("[+]serializable_read ok\nok\n"));
  assert.deepEqual(await get("/readyz"), ok("ok\n"));
  const checks = ["data_corruption", "serializable_read", "linearizable_read", "non_learner"];
  const listed = checks.map((name) => `[+]${name} ok\n`).join("");
  assert.deepEqual(await get("/readyz?verbose"), ok(`${listed}ok\n`));
  const shorter = listed.replace("[+]linearizable_read ok\n", "");
  assert.deepEqual(await get("/readyz?verbose&exclude=linearizable_read"), ok(`${shorter}ok\n`));
  for (const name of checks) {
    assert.deepEqual(await get(`/readyz/${name}?verbose`), ok(`[+]${name} ok\nok\n`));
  }
  assert.equal((await get("/readyz/none")).status, 404);
  assert.equal((await get("/livez/linearizable_read")).status, 404);
});

test("health and metrics are served at --listen-metrics-urls, too, and nothing else", async () => {
  assert.deepEqual(await get("/readyz", metricsUrl), ok("ok\n"));
  assert.equal((await get("/health", metricsUrl)).status, 200);
  assert.match((await get("/metrics", metricsUrl)).body, /^etcd_server_has_leader 1$/m);
  assert.equal((await get("/version", metricsUrl)).status, 404);
});

test("/version names etcd's versions and ours", async () => {
  const { status, type, body } = await get("/version");
  assert.deepEqual([status, type], [200, "application/json"]);
  const versions = JSON.parse(body) as Record<string, string>;
  assert.deepEqual(Object.keys(versions).slice(0, 3), ["etcdserver", "etcdcluster", "storage"]);
  assert.deepEqual(
    [versions["etcdserver"], versions["etcdcluster"], versions["storage"]],
    ["3.6.14", "3.6.0", "3.6.0"],
  );
});

interface Sample {
  readonly labels: string;
  readonly value: number;
}

/** Reads the text format strictly: a type before its samples, no sample twice, histograms that add up. */
function parseMetrics(text: string): ReadonlyMap<string, { type: string; samples: Map<string, Sample[]> }> {
  const families = new Map<string, { type: string; samples: Map<string, Sample[]> }>();
  const seen = new Set<string>();
  assert.ok(text.endsWith("\n"), "the last line has an end");
  for (const line of text.trimEnd().split("\n")) {
    if (line === "" || line.startsWith("# HELP ")) continue;
    const declared = /^# TYPE ([a-zA-Z_:][\w:]*) (counter|gauge|histogram|summary|untyped)$/.exec(line);
    if (declared !== null) {
      assert.ok(!families.has(declared[1] as string), `${declared[1]} is declared twice`);
      families.set(declared[1] as string, { type: declared[2] as string, samples: new Map() });
      continue;
    }
    const sample =
      /^([a-zA-Z_:][\w:]*)(\{(?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*",?)*\})? ([-+]?(?:[\d.]+(?:e[-+]?\d+)?|Inf|NaN)|NaN)$/i.exec(
        line,
      );
    assert.ok(sample !== null, `a line that is no sample: ${line}`);
    const [, name = "", labels = "", number = ""] = sample;
    assert.ok(!seen.has(name + labels), `${name}${labels} is there twice`);
    seen.add(name + labels);
    const family = families.get(name) ?? families.get(name.replace(/_(bucket|sum|count)$/, ""));
    assert.ok(family !== undefined, `${name} has no type before it`);
    const value = number === "+Inf" ? Number.POSITIVE_INFINITY : Number(number);
    family.samples.set(name, [...(family.samples.get(name) ?? []), { labels, value }]);
  }
  return families;
}

test("/metrics parses, names what dashboards ask for, and counts what was done", async () => {
  const client = new TestClient(member.endpoint);
  const read = async () => {
    const { status, type, body } = await get("/metrics");
    assert.equal(status, 200);
    assert.match(type ?? "", /^text\/plain; version=0\.0\.4/);
    return parseMetrics(body);
  };
  const before = await read();
  for (let i = 0; i < 10; i++) await put(client, `metric/${i}`, "x");
  client.close();
  const after = await read();
  const sampleOf = (families: typeof before, family: string, name = family, labels = "") =>
    families
      .get(family)
      ?.samples.get(name)
      ?.find((sample) => sample.labels === labels)?.value ?? Number.NaN;
  const rise = (family: string, name = family, labels = "") =>
    sampleOf(after, family, name, labels) - sampleOf(before, family, name, labels);

  assert.equal(rise("etcd_mvcc_put_total"), 10);
  assert.equal(rise("etcd_debugging_mvcc_current_revision"), 10);
  assert.ok(rise("etcd_server_proposals_applied_total") >= 10);
  const synced = "etcd_disk_wal_fsync_duration_seconds";
  assert.ok(rise(synced, `${synced}_count`) >= 10, "each put alone waits for a sync of the log");
  const handled = '{grpc_type="unary",grpc_service="etcdserverpb.KV",grpc_method="Put",grpc_code="OK"}';
  const byLabels = (families: typeof before) =>
    families.get("grpc_server_handled_total")?.samples.get("grpc_server_handled_total") ?? [];
  const sorted = (labels: string) => labels.slice(1, -1).split(",").sort().join();
  const putsHandled = (families: typeof before) =>
    byLabels(families).find(({ labels }) => sorted(labels) === sorted(handled))?.value ?? Number.NaN;
  assert.equal(putsHandled(after) - putsHandled(before), 10);
  for (const [name, type] of [
    ["etcd_server_has_leader", "gauge"],
    ["etcd_server_leader_changes_seen_total", "counter"],
    ["etcd_server_quota_backend_bytes", "gauge"],
    ["etcd_mvcc_db_total_size_in_bytes", "gauge"],
    ["etcd_mvcc_db_total_size_in_use_in_bytes", "gauge"],
    ["etcd_disk_backend_commit_duration_seconds", "histogram"],
    ["etcd_network_client_grpc_sent_bytes_total", "counter"],
    ["process_resident_memory_bytes", "gauge"],
  ] as const) {
    assert.equal(after.get(name)?.type, type, name);
    assert.ok((after.get(name)?.samples.size ?? 0) > 0, `${name} has samples`);
  }
  for (const [name, { type, samples }] of after) {
    if (type === "histogram") checkBuckets(name, samples);
  }
});

function checkBuckets(name: string, samples: ReadonlyMap<string, readonly Sample[]>): void {
  const withoutBound = (labels: string) =>
    labels
      .slice(1, -1)
      .split(",")
      .filter((label) => !label.startsWith('le="'))
      .sort()
      .join();
  const last = new Map<string, number>();
  for (const { labels, value } of samples.get(`${name}_bucket`) ?? []) {
    const series = withoutBound(labels);
    assert.ok(value >= (last.get(series) ?? 0), `${name}${labels} is below the bucket before it`);
    last.set(series, value);
  }
  for (const { labels, value } of samples.get(`${name}_count`) ?? []) {
    assert.equal(last.get(withoutBound(labels)), value, `${name}${labels} counts its last bucket`);
  }
}

test("methods and services that do not exist answer UNIMPLEMENTED", async () => {
  const client = new Client(member.endpoint, credentials.createInsecure());
  const pass = (bytes: Buffer) => bytes;
  for (const path of ["/etcdserverpb.KV/NoSuchMethod", "/no.such.Service/Method"]) {
    const code = await new Promise((resolve) => {
      const deadline = Date.now() + 10_000;
      client.makeUnaryRequest(path, pass, pass, Buffer.alloc(0), { deadline }, (error) =>
        resolve(error?.code),
      );
    });
    assert.equal(code, 12, path);
  }
  client.close();
});

test("the gRPC health service says that the member serves", async () => {
  const client = new Client(member.endpoint, credentials.createInsecure());
  const pass = (bytes: Buffer) => bytes;
  const answer = await new Promise<Buffer | undefined>((resolve, reject) => {
    const deadline = Date.now() + 10_000;
    client.makeUnaryRequest(
      "/grpc.health.v1.Health/Check",
      pass,
      pass,
      Buffer.alloc(0),
      { deadline },
      (error, bytes) => (error === null ? resolve(bytes) : reject(error)),
    );
  });
  assert.deepEqual([...(answer ?? [])], [0x08, 0x01], "status 1, SERVING");
  client.close();
});
