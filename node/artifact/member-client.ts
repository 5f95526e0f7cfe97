// A member as the agent sees it: its status, a snapshot as a stream, a hash at a revision.

import { readFileSync } from "node:fs";
import { type ChannelCredentials, Client, credentials, type ServiceError } from "@grpc/grpc-js";
import { hexId } from "../lib/ids.ts";
import type { Codec } from "../wire/codec.ts";
import { codecs } from "../wire/codecs.ts";

export interface MemberTls {
  readonly caFile: string;
  /** Both or none: a client certificate. */
  readonly certFile: string | undefined;
  readonly keyFile: string | undefined;
}

export interface MemberStatus {
  readonly endpoint: string;
  readonly memberId: string;
  readonly clusterId: string;
  readonly isLeader: boolean;
  readonly hasLeader: boolean;
  readonly isLearner: boolean;
  readonly raftIndex: number;
}

export interface HashAnswer {
  readonly hash: number;
  /** -1 before the first compaction. */
  readonly compactRevision: number;
}

const askTimeoutMs = 10_000;
/** A hash reads every record. */
const hashTimeoutMs = 600_000;
const snapshotTimeoutMs = 24 * 3_600_000;
const path = (method: string) => `/etcdserverpb.Maintenance/${method}`;

export class MemberClient {
  readonly endpoint: string;
  readonly #client: Client;

  /** `endpoint` is http://HOST:PORT or https://HOST:PORT. Throws an Error for another form, or what reading a file threw. */
  constructor(endpoint: string, tls: MemberTls | undefined) {
    const match = /^(https?):\/\/([^/]+:\d+)$/.exec(endpoint);
    if (match === null)
      throw new Error(`an endpoint is http://HOST:PORT or https://HOST:PORT, not "${endpoint}"`);
    const [, scheme, address] = match as unknown as [string, string, string];
    this.endpoint = endpoint;
    this.#client = new Client(address, credentialsOf(scheme, tls), {
      "grpc.keepalive_time_ms": 30_000,
      "grpc.max_receive_message_length": 16 << 20,
    });
  }

  async status(): Promise<MemberStatus> {
    const request = codecs.StatusRequest.encode(codecs.StatusRequest.create());
    const status = await this.#unary("Status", request, codecs.StatusResponse, askTimeoutMs);
    const memberId = status.header?.memberId ?? 0n;
    return {
      endpoint: this.endpoint,
      memberId: hexId(memberId),
      clusterId: hexId(status.header?.clusterId ?? 0n),
      isLeader: status.leader === memberId && memberId !== 0n,
      hasLeader: status.leader !== 0n,
      isLearner: status.isLearner,
      raftIndex: status.raftIndex,
    };
  }

  async hashKv(revision: number): Promise<HashAnswer> {
    const request = codecs.HashKVRequest.encode(codecs.HashKVRequest.create({ revision }));
    const { hash, compactRevision } = await this.#unary(
      "HashKV",
      request,
      codecs.HashKVResponse,
      hashTimeoutMs,
    );
    return { hash, compactRevision };
  }

  /** The file's bytes, its sum behind them. Rejects with an Error when the stream breaks off. */
  async *snapshot(): AsyncGenerator<Uint8Array> {
    const request = codecs.SnapshotRequest.encode(codecs.SnapshotRequest.create());
    const { create, decode } = codecs.SnapshotResponse;
    const stream = this.#client.makeServerStreamRequest(
      path("Snapshot"),
      () => Buffer.from(request),
      (bytes: Buffer) => decode(bytes),
      create(),
      { deadline: Date.now() + snapshotTimeoutMs },
    );
    try {
      for await (const piece of stream) yield (piece as { blob: Uint8Array }).blob;
    } catch (cause) {
      throw new Error(`the snapshot of ${this.endpoint} broke off: ${textOf(cause)}`, { cause });
    } finally {
      stream.cancel();
    }
  }

  close(): void {
    this.#client.close();
  }

  #unary<T>(method: string, request: Uint8Array, codec: Codec<T, never>, timeoutMs: number): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        path(method),
        (bytes: Buffer) => bytes,
        (bytes: Buffer) => codec.decode(bytes),
        Buffer.from(request),
        { deadline: Date.now() + timeoutMs },
        (error: ServiceError | null, answer?: T) => {
          if (error === null && answer !== undefined) resolve(answer);
          else reject(new Error(`${method} at ${this.endpoint} failed: ${textOf(error)}`, { cause: error }));
        },
      );
    });
  }
}

function credentialsOf(scheme: string, tls: MemberTls | undefined): ChannelCredentials {
  if (scheme === "http") return credentials.createInsecure();
  const ca = tls === undefined ? null : readFileSync(tls.caFile);
  const key = tls?.keyFile === undefined ? null : readFileSync(tls.keyFile);
  const cert = tls?.certFile === undefined ? null : readFileSync(tls.certFile);
  return credentials.createSsl(ca, key, cert);
}

function textOf(error: unknown): string {
  const { details, message } = error as Partial<ServiceError>;
  return details || message || String(error);
}
