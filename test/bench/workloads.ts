// The loads that are measured on a running member.
import { setTimeout as delay } from "node:timers/promises";
import { TestClient } from "../conformance/client.ts";
import type { Message } from "../conformance/messages.ts";
import type { Member } from "../tools/member.ts";
import {
  benchmark,
  type Concurrency,
  type GrpcCall,
  h2load,
  h2loadLatencies,
  type Latencies,
  type LoadResult,
} from "./load.ts";

export interface Workload {
  readonly name: string;
  /** Calls of one round; a tenth of it with `--quick`. */
  readonly calls: number;
  readonly prepare?: (client: TestClient) => Promise<void>;
  /** `secureUrl` is where the member serves clients over TLS. */
  readonly run: (
    member: Member,
    calls: number,
    secureUrl: string,
  ) => Promise<LoadResult & Partial<Latencies>>;
  /** Where `run` tells no latencies. */
  readonly timed?: (member: Member, calls: number, secureUrl: string) => Promise<Latencies>;
  /** How many revisions so many calls make, where that is known. */
  readonly revisions?: (calls: number) => number;
}

const valueBytes = 256;
const value = "v".repeat(valueBytes);
const many = { connections: 10, streams: 100 };
const few = { connections: 10, streams: 10 };
const wide = { connections: 1000, streams: 1 };
const alone = { connections: 1, streams: 1 };
const rangeKeys = 10_000;
const keysPerTxn = 100;

const watchStreams = 10;
const watchesPerStream = 100;

const rangeOfMany = {
  path: "/etcdserverpb.KV/Range",
  type: "RangeRequest",
  request: { key: "big/", range_end: "big0", serializable: true },
};

const txnCall = {
  path: "/etcdserverpb.KV/Txn",
  type: "TxnRequest",
  request: {
    compare: [{ key: "txn", target: "VERSION", result: "GREATER", version: -1 }],
    success: [{ request_put: { key: "txn", value } }, { request_range: { key: "txn" } }],
  },
};

const putCall = { path: "/etcdserverpb.KV/Put", type: "PutRequest", request: { key: "bench", value } };

const renewedLease = 42;
const keepAliveCall = {
  path: "/etcdserverpb.Lease/LeaseKeepAlive",
  type: "LeaseKeepAliveRequest",
  request: { ID: renewedLease },
};

/** What else goes on while a load runs. */
type Beside = <T>(member: Member, run: () => Promise<T>) => Promise<T>;

const nothingBeside: Beside = (_member, run) => run();

function loadOf(
  call: GrpcCall,
  concurrency: Concurrency,
  { isSecure = false, beside = nothingBeside } = {},
): Pick<Workload, "run" | "timed"> {
  const sending =
    <T>(send: (...args: Parameters<typeof h2load>) => Promise<T>) =>
    (member: Member, calls: number, secureUrl: string): Promise<T> =>
      beside(member, () => send(member, call, calls, concurrency, isSecure ? secureUrl : undefined));
  return { run: sending(h2load), timed: sending(h2loadLatencies) };
}

export const workloads: readonly Workload[] = [
  {
    name: "put, h2load, 10 x 100",
    calls: 400_000,
    ...loadOf(putCall, many),
    revisions: (calls) => calls,
  },
  {
    name: "put over TLS, h2load, 10 x 100",
    calls: 200_000,
    ...loadOf(putCall, many, { isSecure: true }),
    revisions: (calls) => calls,
  },
  {
    name: "put, h2load, 1000 x 1",
    calls: 200_000,
    ...loadOf(putCall, wide),
    revisions: (calls) => calls,
  },
  {
    name: "put, h2load, one client",
    calls: 10_000,
    ...loadOf(putCall, alone),
    revisions: (calls) => calls,
  },
  {
    name: "put, benchmark, new keys, 10 x 10",
    calls: 100_000,
    run: (member, calls) => {
      const keys = ["--sequential-keys", "--key-space-size", String(calls), "--key-size", "16"];
      return benchmark(
        member,
        ["put", "--total", String(calls), "--val-size", String(valueBytes), ...keys],
        calls,
        few,
      );
    },
    revisions: (calls) => calls,
  },
  {
    name: "range, linearizable, h2load, 10 x 100",
    calls: 400_000,
    prepare: (client) => putOne(client),
    ...loadOf({ path: "/etcdserverpb.KV/Range", type: "RangeRequest", request: { key: "one" } }, many),
    revisions: () => 0,
  },
  {
    name: "range, serializable, h2load, 10 x 100",
    calls: 400_000,
    prepare: (client) => putOne(client),
    ...loadOf(
      { path: "/etcdserverpb.KV/Range", type: "RangeRequest", request: { key: "one", serializable: true } },
      many,
    ),
    revisions: () => 0,
  },
  {
    name: "range, linearizable, benchmark, 10 x 10",
    calls: 100_000,
    prepare: (client) => putOne(client),
    run: (member, calls) => benchmark(member, ["range", "one", "--total", String(calls)], calls, few),
    revisions: () => 0,
  },
  {
    name: "range of 10,000 keys, h2load, 2 x 2",
    calls: 200,
    prepare: (client) => load(client, "big/", rangeKeys, value),
    ...loadOf(rangeOfMany, { connections: 2, streams: 2 }),
    revisions: () => 0,
  },
  {
    // Equal ranges share one reading of a revision: here there is a new one every few milliseconds.
    name: "range of 10,000 keys, h2load, 2 x 2, a put every 5 ms",
    calls: 200,
    prepare: (client) => load(client, "big/", rangeKeys, value),
    ...loadOf(rangeOfMany, { connections: 2, streams: 2 }, { beside: whilePutting }),
  },
  {
    name: "txn, compare and put and get, h2load, 10 x 100",
    calls: 200_000,
    ...loadOf(txnCall, many),
    revisions: (calls) => calls,
  },
  {
    name: "txn, benchmark, 10 puts each, 10 x 10",
    calls: 10_000,
    run: (member, calls) => {
      const size = ["--txn-ops", "10", "--key-space-size", "100000", "--val-size", String(valueBytes)];
      return benchmark(member, ["txn-put", "--total", String(calls), ...size], calls, few);
    },
    revisions: (calls) => calls,
  },
  {
    name: "watch fan-out, events to 1,000 watches",
    calls: 2_000,
    run: async (member, puts) => {
      const shape = ["--streams", String(watchStreams), "--watch-per-stream", String(watchesPerStream)];
      const load = ["--watched-key-total", "1", "--put-total", String(puts), "--put-rate", "0"];
      const events = puts * watchStreams * watchesPerStream;
      return benchmark(member, ["watch", ...shape, ...load], events, few, "Watch events received");
    },
  },
  {
    name: "lease keep-alive, benchmark, 10 x 10",
    calls: 100_000,
    run: (member, calls) => benchmark(member, ["lease-keepalive", "--total", String(calls)], calls, few),
    revisions: () => 0,
  },
  {
    // As clients do that renew once: a stream for each renewal.
    name: "lease keep-alive once, h2load, 10 x 100",
    calls: 200_000,
    prepare: async (client) => {
      const outcome = await client.call("LeaseGrant", { ID: renewedLease, TTL: 3600 });
      if (!outcome.ok) throw new Error(`granting the lease: ${outcome.text}`);
    },
    ...loadOf(keepAliveCall, many),
    revisions: () => 0,
  },
];

/** One key is put after the other meanwhile, the next one 5 ms after the last was acknowledged. */
async function whilePutting<T>(member: Member, run: () => Promise<T>): Promise<T> {
  const client = new TestClient(member.endpoint);
  let isRunning = true;
  const putting = (async () => {
    while (isRunning) {
      await putOne(client);
      await delay(5);
    }
  })();
  try {
    return await run();
  } finally {
    isRunning = false;
    await putting;
    client.close();
  }
}

async function putOne(client: TestClient): Promise<void> {
  await client.call("Put", { key: "one", value });
}

/** Stores `count` keys, many to a transaction. */
export async function load(
  client: TestClient,
  prefix: string,
  count: number,
  content: string,
): Promise<void> {
  const lanes = 8;
  let next = 0;
  const lane = async () => {
    while (next < count) {
      const first = next;
      next += keysPerTxn;
      const success = Array.from({ length: Math.min(keysPerTxn, count - first) }, (_, i) => ({
        request_put: { key: `${prefix}${String(first + i).padStart(9, "0")}`, value: content },
      }));
      const outcome = await client.call("Txn", { success });
      if (!outcome.ok) throw new Error(`loading ${prefix}${first}: ${outcome.text}`);
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
}

export async function revisionOf(client: TestClient): Promise<number> {
  const outcome = await client.call("Range", { key: "nothing" });
  if (!outcome.ok) throw new Error(`reading the revision: ${outcome.text}`);
  return Number((outcome.response["header"] as Message)["revision"]);
}
