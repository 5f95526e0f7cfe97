// What members ask each other beside Raft: the list of members, hashes, leases, versions.

import type { IncomingMessage, ServerResponse } from "node:http";
import { hexId, leaseId, nodeId } from "../lib/ids.ts";
import { buildVersion, compatibleVersion } from "../lib/version.ts";
import { codecs } from "../wire/codecs.ts";
import { WireError } from "../wire/error.ts";
import {
  answerBytes,
  answerError,
  answerTooLarge,
  readBody,
  refusesMethod,
  type TextAnswer,
} from "./answers.ts";
import { clusterMismatchText, headerOf } from "./compatibility.ts";
import { unwrap, wrap } from "./lease-messages.ts";
import type { LeaseRefusal, MemberPort } from "./port.ts";
import { refusalTexts } from "./refusals.ts";
import type { PeerSettings } from "./settings.ts";

export const promotePrefix = "/members/promote/";

export interface MemberRoutesOptions {
  readonly settings: PeerSettings;
  readonly member: MemberPort;
}

/** One request; all but the path is checked here. */
export type MemberRoute = (
  options: MemberRoutesOptions,
  request: IncomingMessage,
  response: ServerResponse,
) => Promise<void> | void;

const promoteRefusals: Readonly<Record<"notFound" | "notLearner" | "notReady", TextAnswer>> = {
  notFound: { status: 404, text: refusalTexts.notFound },
  notLearner: { status: 412, text: refusalTexts.notLearner },
  notReady: { status: 412, text: refusalTexts.notReady },
};

const leaseRefusals: Readonly<Record<LeaseRefusal, TextAnswer>> = {
  notFound: { status: 404, text: refusalTexts.leaseNotFound },
  applyTimeout: { status: 408, text: refusalTexts.applyTimeout },
  notPrimary: { status: 500, text: refusalTexts.notPrimary },
};

export const memberRoutes: Readonly<Record<string, MemberRoute>> = {
  "/members": serveMembers,
  "/members/hashkv": serveHashKv,
  "/leases": serveRenew,
  "/leases/internal": serveTimeToLive,
  "/downgrade/enabled": serveDowngrade,
  "/version": serveVersion,
};

function serveMembers(
  { settings, member }: MemberRoutesOptions,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  if (refusesMethod(request, response, "GET")) return;
  nameCluster(settings, response);
  answerBytes(response, "application/json", `${member.membersJson()}\n`);
}

/** POST /members/promote/ID, the id in decimal. */
export async function servePromote(
  { settings, member }: MemberRoutesOptions,
  request: IncomingMessage,
  response: ServerResponse,
  idText: string,
): Promise<void> {
  if (refusesMethod(request, response, "POST")) return;
  nameCluster(settings, response);
  const id = /^\d{1,20}$/.test(idText) ? BigInt(idText) : undefined;
  if (id === undefined || id >= 2n ** 64n) {
    answerError(response, { status: 404, text: `member ${idText} not found in cluster` });
    return;
  }
  const answer = await member.promote(nodeId(id), headerOf(request.headers, "authorization"));
  if (answer.ok) answerBytes(response, "application/json", `${answer.membersJson}\n`);
  else if (answer.reason === "other") answerError(response, { status: 500, text: answer.text });
  else answerError(response, promoteRefusals[answer.reason]);
}

async function serveHashKv(
  { settings, member }: MemberRoutesOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  if (refusesMethod(request, response, "GET")) return;
  const clusterId = hexId(settings.local.clusterId);
  if ((headerOf(request.headers, "x-etcd-cluster-id") ?? clusterId) !== clusterId) {
    answerError(response, { status: 412, text: clusterMismatchText });
    return;
  }
  const body = await readSmallBody(settings, request, response);
  if (body === undefined) return;
  const revision = revisionOf(body);
  if (revision === undefined) {
    answerError(response, { status: 400, text: "error unmarshalling request" });
    return;
  }
  const answer = await member.hashKv(revision);
  if (!answer.ok) {
    answerError(response, { status: 400, text: refusalTexts[answer.reason] });
    return;
  }
  nameCluster(settings, response);
  const fields = {
    header: nonZero({ revision: answer.currentRevision }),
    ...nonZero({
      hash: answer.hash,
      compact_revision: answer.compactRevision,
      hash_revision: answer.hashRevision,
    }),
  };
  answerBytes(response, "application/json", JSON.stringify(fields));
}

async function serveRenew(
  { settings, member }: MemberRoutesOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const ask = await readLeaseRequest(settings, request, response, (body) =>
    codecs.LeaseKeepAliveRequest.decode(body),
  );
  if (ask === undefined) return;
  const answer = await member.renewLease(leaseId(ask.ID));
  if (!answer.ok) {
    answerError(response, leaseRefusals[answer.reason]);
    return;
  }
  const renewed = codecs.LeaseKeepAliveResponse.create({ ID: ask.ID, TTL: answer.ttlSeconds });
  answerBytes(response, "application/protobuf", codecs.LeaseKeepAliveResponse.encode(renewed));
}

async function serveTimeToLive(
  { settings, member }: MemberRoutesOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const ask = await readLeaseRequest(settings, request, response, (body) =>
    unwrap(body, codecs.LeaseTimeToLiveRequest),
  );
  if (ask === undefined) return;
  const answer = await member.leaseTimeToLive(leaseId(ask.ID), ask.keys);
  if (!answer.ok) {
    answerError(response, leaseRefusals[answer.reason]);
    return;
  }
  const { ttlSeconds: TTL, grantedTtlSeconds: grantedTTL, keys } = answer;
  const found = codecs.LeaseTimeToLiveResponse.create({
    header: codecs.ResponseHeader.create({}),
    ID: ask.ID,
    TTL,
    grantedTTL,
    keys: [...keys],
  });
  answerBytes(response, "application/protobuf", wrap(codecs.LeaseTimeToLiveResponse.encode(found)));
}

async function serveDowngrade(
  { settings, member }: MemberRoutesOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  if (refusesMethod(request, response, "GET")) return;
  nameCluster(settings, response);
  const answer = await member.isDowngradeEnabled();
  if (answer.ok) answerBytes(response, "text/plain", String(answer.isEnabled));
  else answerError(response, { status: 500, text: `failed linearized read: ${answer.text}` });
}

function serveVersion(
  { member }: MemberRoutesOptions,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  if (refusesMethod(request, response, "GET")) return;
  const versions = {
    etcdserver: compatibleVersion,
    etcdcluster: member.clusterVersion() ?? "not_decided",
    storage: member.storageVersion(),
    etcdlike: buildVersion,
  };
  answerBytes(response, "application/json", JSON.stringify(versions));
}

/** Undefined: it was refused, or nothing was asked, and that is answered. */
async function readLeaseRequest<T>(
  settings: PeerSettings,
  request: IncomingMessage,
  response: ServerResponse,
  decode: (body: Uint8Array) => T | undefined,
): Promise<T | undefined> {
  if (refusesMethod(request, response, "POST")) return undefined;
  const body = await readSmallBody(settings, request, response);
  if (body === undefined) return undefined;
  const ask = decodedOrUndefined(() => decode(body));
  if (ask === undefined) answerError(response, { status: 400, text: "error unmarshalling request" });
  return ask;
}

function decodedOrUndefined<T>(decode: () => T | undefined): T | undefined {
  try {
    return decode();
  } catch (error) {
    if (error instanceof WireError) return undefined;
    throw error;
  }
}

async function readSmallBody(
  { limits }: PeerSettings,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<Uint8Array | undefined> {
  const body = await readBody(request, {
    bytesMax: limits.requestBytesMax,
    timeoutMs: limits.bodyTimeoutMs,
  });
  if (body === undefined) answerTooLarge(response);
  // An answer may take its time.
  request.setTimeout(0);
  return body;
}

/** Of a HashKVRequest in JSON; absent means the current one. */
function revisionOf(body: Uint8Array): number | undefined {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(body));
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const { revision = 0 } = value as { readonly revision?: unknown };
  return typeof revision === "number" && Number.isSafeInteger(revision) ? revision : undefined;
}

/** Go leaves zeros out. */
function nonZero(fields: Readonly<Record<string, number>>): Readonly<Record<string, number>> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== 0));
}

function nameCluster({ local }: PeerSettings, response: ServerResponse): void {
  response.setHeader("X-Etcd-Cluster-ID", hexId(local.clusterId));
}
