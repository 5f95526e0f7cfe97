// A client that writes one key after the other through whichever member answers, and knows what was acknowledged.

import { setTimeout as sleep } from "node:timers/promises";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type Client, credentials, makeGenericClientConstructor } from "@grpc/grpc-js";
import {
  PutRequestSchema,
  RangeRequestSchema,
  RangeResponseSchema,
} from "../../proto/gen/etcdserverpb/rpc_pb.ts";

export interface LoadReport {
  readonly acknowledged: number;
  /** Writes that needed more than one attempt. */
  readonly retried: number;
  /** Writes not acknowledged within five seconds of attempts. */
  readonly failed: number;
  /** Between two acknowledgements. */
  readonly longestGapMs: number;
  /** Acknowledged keys that are not there. */
  readonly missing: readonly string[];
}

/** How it speaks to members whose clients use TLS; it verifies that they carry `serverName`. */
export interface Access {
  readonly caPem: string;
  readonly certPem: string;
  readonly keyPem: string;
  readonly serverName: string;
}

const writeTimeoutMs = 5_000;
const attemptTimeoutMs = 1_000;
const pauseMs = 20;

export class ClientLoad {
  readonly #endpoints: () => Promise<readonly string[]>;
  readonly #access: () => Promise<Access | undefined>;
  #used: Access | undefined;
  readonly #acknowledged: string[] = [];
  #known: readonly string[] = [];
  /** Where in that list the next call begins. */
  #next = 0;
  readonly #clients = new Map<string, Client>();
  #retried = 0;
  #failed = 0;
  #longestGapMs = 0;
  #isStopping = false;
  #running: Promise<void> = Promise.resolve();

  private constructor(
    endpoints: () => Promise<readonly string[]>,
    access: () => Promise<Access | undefined>,
  ) {
    this.#endpoints = endpoints;
    this.#access = access;
  }

  /** Without `access` in clear text; both are asked for again and again, as they change. */
  static async start(
    endpoints: () => Promise<readonly string[]>,
    access: () => Promise<Access | undefined> = async () => undefined,
  ): Promise<ClientLoad> {
    const load = new ClientLoad(endpoints, access);
    load.#known = await endpoints();
    load.#used = await access();
    load.#running = Promise.all([load.#write(), load.#refresh()]).then(() => {});
    return load;
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    await this.#running;
    for (const client of this.#clients.values()) client.close();
    this.#clients.clear();
  }

  /** Stops, and reads back what was acknowledged. */
  async verify(): Promise<LoadReport> {
    this.#isStopping = true;
    await this.#running;
    this.#known = await this.#endpoints();
    const missing: string[] = [];
    for (const key of this.#acknowledged) {
      const request = toBinary(
        RangeRequestSchema,
        create(RangeRequestSchema, { key: Buffer.from(key), countOnly: true }),
      );
      const answer = await this.#somehow("/etcdserverpb.KV/Range", request, 60_000);
      if (answer === undefined || fromBinary(RangeResponseSchema, answer).count !== 1n) missing.push(key);
    }
    return {
      acknowledged: this.#acknowledged.length,
      retried: this.#retried,
      failed: this.#failed,
      longestGapMs: this.#longestGapMs,
      missing,
    };
  }

  async #refresh(): Promise<void> {
    while (!this.#isStopping) {
      await sleep(500);
      this.#known = await this.#endpoints().catch(() => this.#known);
      const access = await this.#access().catch(() => this.#used);
      if (JSON.stringify(access) === JSON.stringify(this.#used)) continue;
      this.#used = access;
      // Calls under way on the connections before are let finish.
      for (const client of this.#clients.values()) client.close();
      this.#clients.clear();
    }
  }

  async #write(): Promise<void> {
    let lastMs = performance.now();
    for (let i = 0; !this.#isStopping; i++) {
      const key = `load/${i}`;
      const request = create(PutRequestSchema, { key: Buffer.from(key), value: Buffer.from(String(i)) });
      const answer = await this.#somehow(
        "/etcdserverpb.KV/Put",
        toBinary(PutRequestSchema, request),
        writeTimeoutMs,
      );
      if (answer === undefined) this.#failed++;
      else {
        this.#acknowledged.push(key);
        this.#longestGapMs = Math.max(this.#longestGapMs, performance.now() - lastMs);
        lastMs = performance.now();
      }
      await sleep(pauseMs);
    }
  }

  /** Tries one member after the other, first who answered last; undefined when none answered in time. */
  async #somehow(path: string, request: Uint8Array, timeoutMs: number): Promise<Uint8Array | undefined> {
    const deadline = performance.now() + timeoutMs;
    for (let attempt = 0; performance.now() < deadline; attempt++) {
      const endpoint = this.#known[(this.#next + attempt) % Math.max(1, this.#known.length)];
      if (attempt === 1) this.#retried++;
      const answer = endpoint === undefined ? undefined : await this.#call(endpoint, path, request);
      if (answer !== undefined) {
        this.#next = (this.#next + attempt) % this.#known.length;
        return answer;
      }
      await sleep(50);
    }
    return undefined;
  }

  #call(endpoint: string, path: string, request: Uint8Array): Promise<Uint8Array | undefined> {
    const Generic = makeGenericClientConstructor({}, "load");
    const access = this.#used;
    const client =
      this.#clients.get(endpoint) ??
      (new Generic(endpoint, credentialsOf(access), {
        ...(access === undefined ? {} : { "grpc.ssl_target_name_override": access.serverName }),
        "grpc.enable_retries": 0,
        "grpc.max_reconnect_backoff_ms": 500,
        "grpc.initial_reconnect_backoff_ms": 100,
      }) as unknown as Client);
    this.#clients.set(endpoint, client);
    return new Promise((resolve) => {
      client.makeUnaryRequest(
        path,
        (bytes: Buffer) => bytes,
        (bytes: Buffer) => bytes as Uint8Array,
        Buffer.from(request),
        { deadline: Date.now() + attemptTimeoutMs },
        (error, answer?: Uint8Array) => resolve(error === null ? answer : undefined),
      );
    });
  }
}

function credentialsOf(access: Access | undefined) {
  if (access === undefined) return credentials.createInsecure();
  return credentials.createSsl(
    Buffer.from(access.caPem),
    Buffer.from(access.keyPem),
    Buffer.from(access.certPem),
  );
}
