import assert from "node:assert/strict";
import { once } from "node:events";
import { type IncomingHttpHeaders, type IncomingMessage, request } from "node:http";
import { type AddressInfo, createServer } from "node:net";
import { test } from "node:test";
import type { LogFields } from "../lib/log.ts";
import { createHttpServer, type HttpServerOptions } from "./server.ts";
import type { AlarmName } from "./status-port.ts";

interface Toy {
  alarms: AlarmName[];
  hasLeader: boolean;
  isLearner: boolean;
  readError: string | undefined;
  linearizableError: string | undefined;
}

interface Answer {
  readonly status: number;
  readonly body: string;
  readonly headers: IncomingHttpHeaders;
}

type Ask = (path: string, options?: { method?: string; headers?: Record<string, string> }) => Promise<Answer>;

async function withServer(
  changes: Partial<HttpServerOptions>,
  use: (ask: Ask, toy: Toy, warnings: string[]) => Promise<void>,
): Promise<void> {
  const toy: Toy = {
    alarms: [],
    hasLeader: true,
    isLearner: false,
    readError: undefined,
    linearizableError: undefined,
  };
  const warnings: string[] = [];
  const warn = (message: string, fields?: LogFields): void => {
    warnings.push(`${message} ${JSON.stringify(fields)}`);
  };
  const server = await createHttpServer({
    kind: "client",
    member: {
      alarms: () => toy.alarms,
      hasLeader: () => toy.hasLeader,
      isLearner: () => toy.isLearner,
      clusterVersion: () => (toy.hasLeader ? "3.6.0" : undefined),
      storageVersion: () => "3.6.0",
      async probeRead({ isSerializable }) {
        const error = toy.readError ?? (isSerializable ? undefined : toy.linearizableError);
        if (error !== undefined) throw new Error(error);
      },
    },
    log: { debug() {}, info() {}, warn, error: warn },
    metrics: { health() {}, check() {} },
    scrape: async () => "# metrics\n",
    scrapeContentType: "text/plain; version=0.0.4; charset=utf-8",
    corsOrigins: ["*"],
    hostWhitelist: ["*"],
    ...changes,
  });
  const listener = createServer((socket) => server.serve(socket)).listen(0, "127.0.0.1");
  await once(listener, "listening");
  const { port } = listener.address() as AddressInfo;
  const ask: Ask = async (path, { method = "GET", headers = {} } = {}) => {
    const sent = request({ host: "127.0.0.1", port, path, method, headers }).end();
    const [response] = (await once(sent, "response")) as [IncomingMessage];
    const body = Buffer.concat(await response.toArray()).toString();
    return { status: response.statusCode ?? 0, body, headers: response.headers };
  };
  try {
    await use(ask, toy, warnings);
  } finally {
    listener.close();
    await server.stop(1000);
  }
}

test("/health tells the first thing that is wrong", () =>
  withServer({}, async (ask, toy) => {
    const healthy = { status: 200, body: '{"health":"true","reason":""}' };
    const sick = (reason: string) => ({ status: 503, body: `{"health":"false","reason":"${reason}"}\n` });
    const health = async (query = "") => {
      const { status, body } = await ask(`/health${query}`);
      return { status, body };
    };
    assert.deepEqual(await health(), healthy);
    toy.linearizableError = "etcdserver: request timed out";
    assert.deepEqual(await health(), sick("RANGE ERROR:etcdserver: request timed out"));
    assert.deepEqual(await health("?serializable=true"), healthy);
    toy.hasLeader = false;
    assert.deepEqual(await health(), sick("RAFT NO LEADER"));
    assert.deepEqual(await health("?serializable=true"), healthy);
    toy.alarms = ["NOSPACE", "CORRUPT"];
    assert.deepEqual(await health("?serializable=true"), sick("ALARM NOSPACE"));
    assert.deepEqual(await health("?serializable=true&exclude=NOSPACE"), sick("ALARM CORRUPT"));
    assert.deepEqual(await health("?serializable=true&exclude=NOSPACE&exclude=CORRUPT"), healthy);
  }));

test("/livez and /readyz run their checks in etcd's words", () =>
  withServer({}, async (ask, toy, warnings) => {
    const body = async (path: string) => {
      const answer = await ask(path);
      assert.equal(answer.headers["content-type"], "text/plain; charset=utf-8");
      return `${answer.status} ${answer.body}`;
    };
    assert.equal(await body("/livez"), "200 ok\n");
    assert.equal(await body("/livez?verbose"), "200 [+]serializable_read ok\nok\n");
    assert.equal(await body("/readyz/non_learner?verbose"), "200 [+]non_learner ok\nok\n");
    assert.equal(await body("/livez/linearizable_read"), "404 404 page not found\n");
    assert.equal(
      await body("/readyz?verbose&exclude=linearizable_read&exclude=bogus"),
      "200 [+]data_corruption ok\n[+]serializable_read ok\n[+]non_learner ok\nok\n",
    );
    assert.deepEqual(warnings, [
      'some health checks cannot be excluded {"missing-health-checks":"\\"bogus\\""}',
    ]);
    toy.linearizableError = "etcdserver: no leader";
    toy.alarms = ["CORRUPT"];
    toy.isLearner = true;
    assert.equal(
      await body("/readyz"),
      "503 [-]data_corruption failed: alarm activated: CORRUPT\n[+]serializable_read ok\n" +
        "[-]linearizable_read failed: etcdserver: no leader\n[-]non_learner failed: not supported for learner\n\n",
    );
    assert.equal(await body("/livez"), "200 ok\n");
  }));

test("other methods are refused as Go refuses them, and OPTIONS is always answered", () =>
  withServer({}, async (ask) => {
    for (const path of ["/health", "/readyz", "/version"]) {
      const answer = await ask(path, { method: "POST" });
      assert.deepEqual(
        [answer.status, answer.body, answer.headers.allow],
        [405, "Method Not Allowed\n", "GET"],
      );
    }
    const preflight = await ask("/bogus", { method: "OPTIONS" });
    assert.deepEqual([preflight.status, preflight.body], [200, ""]);
    assert.equal(preflight.headers["access-control-allow-origin"], "*");
    const missing = await ask("/bogus");
    assert.deepEqual([missing.status, missing.body], [404, "404 page not found\n"]);
    assert.equal(missing.headers["access-control-allow-headers"], "accept, content-type, authorization");
    assert.equal(missing.headers["access-control-allow-methods"], "POST, GET, OPTIONS, PUT, DELETE");
  }));

test("/version names the compatible versions first", () =>
  withServer({}, async (ask, toy) => {
    const { body, headers } = await ask("/version");
    assert.match(body, /^\{"etcdserver":"3\.6\.14","etcdcluster":"3\.6\.0","storage":"3\.6\.0","etcdlike":"/);
    assert.equal(headers["content-type"], "application/json");
    toy.hasLeader = false;
    assert.match((await ask("/version")).body, /"etcdcluster":"not_decided"/);
  }));

test("/metrics is the registry's text", () =>
  withServer({}, async (ask) => {
    const { status, body, headers } = await ask("/metrics");
    assert.deepEqual([status, body], [200, "# metrics\n"]);
    assert.equal(headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
  }));

test("a metrics listener has health and metrics, and neither version nor CORS", () =>
  withServer({ kind: "metrics" }, async (ask) => {
    assert.equal((await ask("/health")).status, 200);
    assert.equal((await ask("/metrics")).headers["access-control-allow-origin"], undefined);
    assert.equal((await ask("/version")).status, 404);
  }));

test("origins and hosts can be limited", () =>
  withServer({ corsOrigins: ["http://good.example"], hostWhitelist: ["good.example"] }, async (ask) => {
    const host = "good.example:2379";
    const good = await ask("/health", { headers: { host, origin: "http://good.example" } });
    assert.equal(good.headers["access-control-allow-origin"], "http://good.example");
    const other = await ask("/health", { headers: { host, origin: "http://bad.example" } });
    assert.equal(other.headers["access-control-allow-origin"], undefined);
    assert.equal((await ask("/health", { headers: { host: "bad.example" } })).status, 421);
  }));
