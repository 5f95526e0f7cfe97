// Members over loopback sockets for tests: the adapter with recorders in the place of Raft and the member.

import { request as httpRequest, type IncomingHttpHeaders } from "node:http";
import { connect, type Socket } from "node:net";
import type { TestContext } from "node:test";
import { hexId, type LeaseId, type NodeId, nodeId } from "../../lib/ids.ts";
import { silentLogger } from "../../lib/log.ts";
import { realClock } from "../../observe/real-clock.ts";
import type { Message } from "../../wire/raft.ts";
import { introduction } from "../compatibility.ts";
import type { Connect } from "../dialer.ts";
import { type MemberPort, type PeerMetrics, type SnapshotPort, silentPeerMetrics } from "../port.ts";
import { PeerServer } from "../server.ts";
import type { PeerLimits } from "../settings.ts";
import { Transport } from "../transport.ts";

export const clusterId = 0xcdf818194e3a8c32n;

/** Short enough for tests, and long enough for a machine that is busy with others. */
export const testLimits: Partial<PeerLimits> = {
  readTimeoutMs: 600,
  writeTimeoutMs: 600,
  dialTimeoutMs: 2000,
  retryMs: 10,
  retryMsMax: 50,
  probeIntervalMs: 50,
};

export interface TestMemberOptions {
  readonly clusterId?: bigint;
  readonly limits?: Partial<PeerLimits>;
  readonly snapshots?: SnapshotPort;
  readonly member?: Partial<MemberPort>;
  readonly connect?: Connect;
}

export class TestMember {
  readonly id: NodeId;
  readonly transport: Transport;
  readonly received: Message[] = [];
  /** Those of `received` that came on a stream from the member they name. */
  readonly proven: Message[] = [];
  readonly unreachable: NodeId[] = [];
  readonly gone: NodeId[] = [];
  readonly snapshotReports: (readonly [NodeId, boolean])[] = [];
  readonly removed = new Set<NodeId>();
  readonly roundTrips: number[] = [];
  readonly receivedFailures: string[] = [];
  /** Texts and errors of what was logged as a warning. */
  readonly warnings: string[] = [];
  removedCount = 0;
  port = 0;
  #server: PeerServer;
  readonly #member: MemberPort;

  constructor(id: number, options: TestMemberOptions) {
    this.id = nodeId(id);
    const metrics: PeerMetrics = {
      ...silentPeerMetrics,
      roundTripSeconds: (_to, seconds) => this.roundTrips.push(seconds),
      receivedFailure: (from) => this.receivedFailures.push(from),
    };
    this.transport = new Transport({
      local: {
        nodeId: this.id,
        clusterId: options.clusterId ?? clusterId,
        peerUrls: () => [this.url],
      },
      raft: {
        receive: (message) => {
          this.received.push(message);
          this.proven.push(message);
        },
        receiveUnproven: (message) => this.received.push(message),
        isRemoved: (peer) => this.removed.has(peer),
        reportUnreachable: (peer) => this.unreachable.push(peer),
        reportGone: (peer) => this.gone.push(peer),
        reportSnapshot: (peer, ok) => this.snapshotReports.push([peer, ok]),
        onRemoved: () => {
          this.removedCount++;
        },
      },
      snapshots: options.snapshots,
      clock: realClock,
      logger: {
        ...silentLogger,
        warn: (text, fields) => this.warnings.push(`${text}: ${fields?.["error"] ?? fields?.["fault"]}`),
      },
      metrics,
      limits: { ...testLimits, ...options.limits },
      ...(options.connect && { connect: options.connect }),
    });
    this.#member = { ...quietMember, ...options.member };
    this.#server = this.#newServer();
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** On the port it had before, if any. */
  async listen(): Promise<void> {
    this.port = await this.#server.listen({ host: "127.0.0.1", port: this.port });
  }

  serve(socket: Socket): void {
    this.#server.serve(socket);
  }

  /** The sockets are gone, and nobody answers; the transport lives. */
  async closeServer(): Promise<void> {
    await this.#server.stop();
    this.#server = this.#newServer();
  }

  async stop(): Promise<void> {
    this.transport.stop();
    await this.#server.stop();
  }

  #newServer(): PeerServer {
    return new PeerServer({
      transport: this.transport,
      member: this.#member,
      onUnexpected(error) {
        throw error;
      },
    });
  }
}

export const quietMember: MemberPort = {
  clusterVersion: () => undefined,
  storageVersion: () => "3.6.0",
  membersJson: () => "[]",
  promote: async () => ({ ok: false, reason: "notFound" }),
  hashKv: async () => ({ ok: false, reason: "compacted" }),
  renewLease: async (_id: LeaseId) => ({ ok: false, reason: "notFound" }),
  leaseTimeToLive: async (_id: LeaseId) => ({ ok: false, reason: "notFound" }),
  isDowngradeEnabled: async () => ({ ok: true, isEnabled: false }),
};

export async function startMember(
  t: TestContext,
  id: number,
  options: TestMemberOptions = {},
): Promise<TestMember> {
  const member = new TestMember(id, options);
  await member.listen();
  t.after(() => member.stop());
  return member;
}

export function introduce(a: TestMember, b: TestMember): void {
  a.transport.addPeer(b.id, [b.url]);
  b.transport.addPeer(a.id, [a.url]);
}

export async function startPair(
  t: TestContext,
  options: TestMemberOptions = {},
): Promise<readonly [TestMember, TestMember]> {
  const one = await startMember(t, 1, options);
  const two = await startMember(t, 2, options);
  introduce(one, two);
  await eventually(() => one.transport.isFullyConnected(two.id) && two.transport.isFullyConnected(one.id));
  return [one, two];
}

/** Waits for what sockets bring about. */
export async function eventually(isSo: () => boolean, timeoutMs = 10_000): Promise<void> {
  const end = performance.now() + timeoutMs;
  while (!isSo()) {
    if (performance.now() > end) throw new Error(`not within ${timeoutMs} ms: ${isSo}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

export interface RawAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  readonly text: string;
}

export interface RawRequest {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | string;
}

/** A request that says what it is told to. */
export function ask(
  member: { readonly port: number },
  path: string,
  options: RawRequest = {},
): Promise<RawAnswer> {
  const { method = "GET", body } = options;
  const length = body === undefined ? {} : { "Content-Length": String(Buffer.byteLength(body)) };
  const headers = { ...length, ...options.headers };
  return new Promise((resolve, reject) => {
    const request = httpRequest(
      { host: "127.0.0.1", port: member.port, path, method, headers },
      (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("error", reject);
        response.on("end", () => {
          const whole = Buffer.concat(chunks);
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            body: whole,
            text: whole.toString(),
          });
        });
      },
    );
    request.on("error", reject);
    request.end(body);
  });
}

/** The headers of a sound member with this id. */
export function headersOf(
  id: number,
  overrides: Readonly<Record<string, string>> = {},
): Record<string, string> {
  const local = { nodeId: nodeId(id), clusterId, peerUrls: () => ["http://127.0.0.1:1"] };
  return { ...introduction(local), ...overrides };
}

/** A connection that has opened a stream by hand and reads only what it is told to. */
export function rawStream(t: TestContext, member: TestMember, path: string, from: number): Socket {
  const socket = connect(member.port, "127.0.0.1");
  t.after(() => socket.destroy());
  const headers = headersOf(from, { "X-Raft-To": hexId(member.id), Host: "peer" });
  const head = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.write(`GET ${path} HTTP/1.1\r\n${head.join("")}\r\n`);
  return socket;
}
