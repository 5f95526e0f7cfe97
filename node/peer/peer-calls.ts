// What this member asks others beside Raft: the other end of member-routes.ts.

import { textOf, utf8 } from "../lib/bytes.ts";
import type { LeaseId, NodeId } from "../lib/ids.ts";
import { codecs } from "../wire/codecs.ts";
import { type Answer, call } from "./call.ts";
import { clusterMismatchText, headerOf, introduction, parseHexId } from "./compatibility.ts";
import { unwrap, wrap } from "./lease-messages.ts";
import type { HashKvAnswer, LeaseRefusal, PromoteAnswer, RenewAnswer, TimeToLiveAnswer } from "./port.ts";
import { refusalTexts } from "./refusals.ts";
import type { PeerSettings } from "./settings.ts";

/** A list of members is the largest thing that is asked for. */
const answerBytesMax = 4 * 1024 * 1024;
/** Go writes numbers into its JSON that are all safe integers here, but ids, which nobody parses here. */
type JsonFields = Readonly<Record<string, unknown>>;

export interface RemoteMembers {
  readonly clusterId: bigint;
  /** Not parsed here: its ids need a reader that keeps 64 bits. */
  readonly membersJson: string;
}

export interface RemoteVersions {
  readonly server: string;
  /** Undefined until the cluster decided it. */
  readonly cluster: string | undefined;
}

/** Every call rejects when there was no answer, or none that it knows; another URL may do better. */
export class PeerCalls {
  readonly #settings: PeerSettings;

  constructor(settings: PeerSettings) {
    this.#settings = settings;
  }

  async members(url: URL): Promise<RemoteMembers> {
    const answer = await this.#call(url, { method: "GET", path: "/members" });
    const clusterId = parseHexId(headerOf(answer.headers, "x-etcd-cluster-id") ?? "");
    if (answer.status !== 200 || clusterId === undefined) throw unexpected(url, answer);
    return { clusterId, membersJson: textOf(answer.body).trimEnd() };
  }

  async versions(url: URL): Promise<RemoteVersions> {
    const answer = await this.#call(url, { method: "GET", path: "/version" });
    if (answer.status !== 200) throw unexpected(url, answer);
    const { etcdserver, etcdcluster } = jsonOf(url, answer);
    if (typeof etcdserver !== "string" || typeof etcdcluster !== "string") throw unexpected(url, answer);
    return { server: etcdserver, cluster: etcdcluster === "not_decided" ? undefined : etcdcluster };
  }

  async isDowngradeEnabled(url: URL): Promise<boolean> {
    const answer = await this.#call(url, { method: "GET", path: "/downgrade/enabled" });
    const text = textOf(answer.body);
    if (answer.status !== 200 || (text !== "true" && text !== "false")) throw unexpected(url, answer);
    return text === "true";
  }

  async hashKv(
    url: URL,
    revision: number,
  ): Promise<HashKvAnswer | { readonly ok: false; readonly reason: "clusterMismatch" }> {
    const body = utf8(JSON.stringify(revision === 0 ? {} : { revision }));
    const answer = await this.#call(url, { method: "GET", path: "/members/hashkv", body });
    const text = textOf(answer.body);
    if (answer.status === 412 && text.includes(clusterMismatchText)) {
      return { ok: false, reason: "clusterMismatch" };
    }
    if (answer.status === 400 && text.includes(refusalTexts.compacted))
      return { ok: false, reason: "compacted" };
    if (answer.status === 400 && text.includes(refusalTexts.futureRevision)) {
      return { ok: false, reason: "futureRevision" };
    }
    if (answer.status !== 200) throw unexpected(url, answer);
    const { header, hash, compact_revision, hash_revision } = jsonOf(url, answer);
    const { revision: currentRevision } = (header ?? {}) as JsonFields;
    return {
      ok: true,
      currentRevision: integerOf(currentRevision, url, answer),
      hash: integerOf(hash, url, answer),
      compactRevision: integerOf(compact_revision, url, answer),
      hashRevision: integerOf(hash_revision, url, answer),
    };
  }

  /** Asks the leader. */
  async promote(url: URL, id: NodeId, authorization: string | undefined): Promise<PromoteAnswer> {
    const headers = authorization === undefined ? {} : { Authorization: authorization };
    const path = `/members/promote/${id}`;
    const answer = await this.#call(url, { method: "POST", path, headers });
    const text = textOf(answer.body).trimEnd();
    if (answer.status === 200) return { ok: true, membersJson: text };
    for (const reason of ["notLearner", "notReady"] as const) {
      if (answer.status === 412 && text === refusalTexts[reason]) return { ok: false, reason };
    }
    if (answer.status === 404) return { ok: false, reason: "notFound" };
    return { ok: false, reason: "other", text };
  }

  /** Asks the leader. */
  async renewLease(url: URL, id: LeaseId): Promise<RenewAnswer> {
    const ask = codecs.LeaseKeepAliveRequest.create({ ID: id });
    const body = codecs.LeaseKeepAliveRequest.encode(ask);
    const answer = await this.#callLease(url, "/leases", body);
    if (typeof answer === "string") return { ok: false, reason: answer };
    const renewed = codecs.LeaseKeepAliveResponse.decode(answer.body);
    if (renewed.ID !== id) throw unexpected(url, answer);
    return { ok: true, ttlSeconds: renewed.TTL };
  }

  /** Asks the leader. */
  async leaseTimeToLive(url: URL, id: LeaseId, withKeys: boolean): Promise<TimeToLiveAnswer> {
    const ask = codecs.LeaseTimeToLiveRequest.create({ ID: id, keys: withKeys });
    const body = wrap(codecs.LeaseTimeToLiveRequest.encode(ask));
    const answer = await this.#callLease(url, "/leases/internal", body);
    if (typeof answer === "string") return { ok: false, reason: answer };
    const found = unwrap(answer.body, codecs.LeaseTimeToLiveResponse);
    if (found?.ID !== id) throw unexpected(url, answer);
    return { ok: true, ttlSeconds: found.TTL, grantedTtlSeconds: found.grantedTTL, keys: found.keys };
  }

  async #callLease(url: URL, path: string, body: Uint8Array): Promise<Answer | LeaseRefusal> {
    const headers = { "Content-Type": "application/protobuf" };
    const answer = await this.#call(url, { method: "POST", path, body, headers });
    switch (answer.status) {
      case 200:
        return answer;
      case 404:
        return "notFound";
      case 408:
        return "applyTimeout";
      case 500:
        if (textOf(answer.body).includes(refusalTexts.notPrimary)) return "notPrimary";
        throw unexpected(url, answer);
      default:
        throw unexpected(url, answer);
    }
  }

  #call(
    url: URL,
    asked: {
      readonly method: "GET" | "POST";
      readonly path: string;
      readonly headers?: Readonly<Record<string, string>>;
      readonly body?: Uint8Array;
    },
  ): Promise<Answer> {
    const { dialer, limits, local } = this.#settings;
    const { method, path, body } = asked;
    const length = body === undefined ? {} : { "Content-Length": body.length };
    const headers = { ...introduction(local), ...length, ...asked.headers };
    const timeouts = { dialTimeoutMs: limits.dialTimeoutMs, idleTimeoutMs: limits.requestAnswerMs };
    return call(dialer, { url, path, method, headers, lane: "request", ...timeouts }, body, answerBytesMax)
      .answer;
  }
}

function jsonOf(url: URL, answer: Answer): JsonFields {
  let value: unknown;
  try {
    value = JSON.parse(textOf(answer.body));
  } catch (error) {
    throw new Error(`${url.host} answered what is not JSON`, { cause: error });
  }
  if (typeof value !== "object" || value === null) throw unexpected(url, answer);
  return value as JsonFields;
}

/** Go leaves zeros out. */
function integerOf(value: unknown, url: URL, answer: Answer): number {
  if (value === undefined) return 0;
  if (typeof value !== "number" || !Number.isSafeInteger(value)) throw unexpected(url, answer);
  return value;
}

function unexpected(url: URL, { status, body }: Answer): Error {
  return new Error(`unexpected answer of ${url.host}: ${status} ${textOf(body.subarray(0, 200)).trimEnd()}`);
}
