// From the bytes of a log entry to the request that it holds. An entry is understood as a whole or the member stops:
// skipping one, or a part of one, would make members diverge without a sign.
//
// Only the fields of the entry itself count. What a client added to its own message travels inside one, and real
// members keep it and look past it.

import { FatalError } from "../lib/fatal.ts";
import { nodeId } from "../lib/ids.ts";
import { compatibleClusterVersion } from "../lib/version.ts";
import { compareVersions, formatVersion, parseVersion, versionOf } from "../membership/cluster-version.ts";
import { decodeAttributes } from "../membership/member.ts";
import { codecs } from "../wire/codecs.ts";
import { WireError } from "../wire/error.ts";
import { decodeHotEntry, type EntryId } from "../wire/hot-entry.ts";
import type { Entry } from "../wire/raft.ts";
import type { InternalRaftRequest, Request } from "../wire/rpc.ts";

type Operation = Exclude<keyof InternalRaftRequest, "ID" | "header">;

/** They change users and roles, which this version does not have. */
const authOperations: readonly Operation[] = [
  "authEnable",
  "authDisable",
  "authenticate",
  "authUserAdd",
  "authUserDelete",
  "authUserChangePassword",
  "authUserGrantRole",
  "authUserRevokeRole",
  "authRoleAdd",
  "authRoleDelete",
  "authRoleGrantPermission",
  "authRoleRevokePermission",
];

/** Where members of 3.5 published themselves and the cluster version in the old store. */
const v2AttributesPath = /^\/0\/members\/([0-9a-fA-F]{1,16})\/attributes$/;
const v2VersionPath = "/0/version";

/** An operation with the id of its request: zero where the entry has none. */
export type ReadEntry = EntryId & Partial<InternalRaftRequest>;

/**
 * Reads a normal entry that is not empty. Throws FatalError UNKNOWN_ENTRY, which says what is not known, and where.
 * Hot: of a put or a transaction nothing is made but itself.
 */
export function readEntry(entry: Pick<Entry, "index" | "data">): ReadEntry {
  const { index, data } = entry;
  const known = orUndefined(decodeHotEntry, data);
  if (known !== undefined) return known;
  const read = readRequest(data);
  if (read === undefined) {
    throw unknownEntry(index, `is neither a request nor one of the old store: ${data.length} bytes`);
  }
  if ("unknownField" in read) {
    throw unknownEntry(index, `has field ${read.unknownField}, which this version does not know`);
  }
  const request = "v2" in read ? fromV2(read.v2, index) : read.request;
  const refusal = refusalOf(request);
  if (refusal !== undefined) throw unknownEntry(index, refusal);
  const id = BigInt.asUintN(64, request.header?.ID ?? 0n);
  return { ...request, idLow: Number(id & 0xffff_ffffn), idHigh: Number(id >> 32n) };
}

export function unknownEntry(index: number, what: string): FatalError {
  return new FatalError("UNKNOWN_ENTRY", `entry ${index} ${what}`, { index });
}

type Read =
  | { readonly request: InternalRaftRequest }
  | { readonly v2: Request }
  | { readonly unknownField: number };

/** Undefined: neither form can be read. */
function readRequest(data: Uint8Array): Read | undefined {
  const request = orUndefined(codecs.InternalRaftRequest.decode, data);
  if (request !== undefined) {
    const unknownField = codecs.InternalRaftRequest.unknownField(data);
    if (unknownField !== undefined) return { unknownField };
    return request.v2 === undefined ? { request } : { v2: request.v2 };
  }
  // A bare request of the old store cannot be read as the newer one: its method is no message.
  const v2 = orUndefined(codecs.Request.decode, data);
  return v2 === undefined ? undefined : { v2 };
}

function orUndefined<T>(decode: (bytes: Uint8Array) => T, data: Uint8Array): T | undefined {
  try {
    return decode(data);
  } catch (error) {
    if (error instanceof WireError) return undefined;
    throw error;
  }
}

/** What the few requests of the old store mean that are still made. */
function fromV2({ ID, Method, Path, Val }: Request, index: number): InternalRaftRequest {
  const header = { ID, username: "", authRevision: 0 };
  const idText = v2AttributesPath.exec(Path)?.[1];
  if (Method === "PUT" && idText !== undefined) {
    const { name, clientUrls } = decodeAttributes(Val);
    const memberAttributes = { name, clientUrls: [...clientUrls] };
    const memberID = nodeId(BigInt(`0x${idText}`));
    return codecs.InternalRaftRequest.create({
      header,
      clusterMemberAttrSet: { memberID, memberAttributes },
    });
  }
  if (Method === "PUT" && Path === v2VersionPath) {
    return codecs.InternalRaftRequest.create({ header, clusterVersionSet: { ver: Val } });
  }
  throw unknownEntry(index, `is a request of the old store, ${Method} ${Path}, which this version cannot do`);
}

/** What in a well-formed request this version cannot do; undefined when it can do all of it. */
function refusalOf(request: InternalRaftRequest): string | undefined {
  const auth = authOperations.find((name) => request[name] !== undefined);
  if (auth !== undefined) return `is ${auth}, and this version has no authentication`;
  const { clusterVersionSet, downgradeInfoSet } = request;
  if (clusterVersionSet !== undefined) return refusalOfVersion(clusterVersionSet.ver);
  if (downgradeInfoSet?.enabled === true && parseVersion(downgradeInfoSet.ver) === undefined) {
    return `asks for a downgrade to "${downgradeInfoSet.ver}", expected a version like 3.5.0`;
  }
  return hasOperation(request) ? undefined : "holds no operation";
}

function refusalOfVersion(text: string): string | undefined {
  const version = parseVersion(text);
  if (version === undefined) return `sets the cluster version to "${text}", expected one like 3.6.0`;
  const highest = versionOf(compatibleClusterVersion);
  if (compareVersions(version, highest) <= 0) return undefined;
  return `sets the cluster version to ${formatVersion(version)}, above ${compatibleClusterVersion}, the highest of this version`;
}

function hasOperation(request: InternalRaftRequest): boolean {
  for (const name in request) {
    if (name !== "ID" && name !== "header" && request[name as Operation] !== undefined) return true;
  }
  return false;
}
