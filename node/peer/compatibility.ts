// The headers members introduce themselves with, and the checks on them.

import type { IncomingHttpHeaders } from "node:http";
import { hexId, type NodeId, nodeId } from "../lib/ids.ts";
import { compatibleVersion } from "../lib/version.ts";
import type { LocalMember } from "./port.ts";

/** The oldest cluster version this release says it can live in, as etcd 3.6 says. */
const minClusterVersion = "3.0.0";
/** What a member that names no version is taken for. */
const unnamedVersion = "2.0.0";
/** The first release that serves both streams. */
const minStreamVersion = "2.1.0";

export const incompatibleVersionText = "incompatible version";
export const clusterMismatchText = "cluster ID mismatch";

export type Incompatibility = typeof incompatibleVersionText | typeof clusterMismatchText;

/** What every request to a peer carries. */
export function introduction(local: LocalMember): Record<string, string> {
  return {
    "X-Server-From": hexId(local.nodeId),
    "X-Server-Version": compatibleVersion,
    "X-Min-Cluster-Version": minClusterVersion,
    "X-Etcd-Cluster-ID": hexId(local.clusterId),
    "X-PeerURLs": local.peerUrls().join(","),
  };
}

/** Why a request is refused with 412; undefined when its sender may be a member of this cluster. */
export function incompatibilityOf(
  headers: IncomingHttpHeaders,
  clusterId: bigint,
): Incompatibility | undefined {
  const remote = headerOf(headers, "x-server-version") ?? unnamedVersion;
  const remoteMin = headerOf(headers, "x-min-cluster-version") ?? unnamedVersion;
  const isTooOld = !isAtLeast(remote, minClusterVersion);
  if (isTooOld || !isAtLeast(compatibleVersion, remoteMin)) return incompatibleVersionText;
  return headerOf(headers, "x-etcd-cluster-id") === hexId(clusterId) ? undefined : clusterMismatchText;
}

/** Whether the member that answered serves streams. */
export function servesStreams(headers: IncomingHttpHeaders): boolean {
  return isAtLeast(headerOf(headers, "x-server-version") ?? unnamedVersion, minStreamVersion);
}

export function headerOf(headers: IncomingHttpHeaders, name: string): string | undefined {
  const value = headers[name];
  return typeof value === "string" && value !== "" ? value : undefined;
}

/** An id as it stands in paths and headers: unsigned hex of at most 64 bits. */
export function parseHexId(text: string): NodeId | undefined {
  if (!/^[0-9a-fA-F]{1,64}$/.test(text)) return undefined;
  const id = BigInt(`0x${text}`);
  return id < 2n ** 64n ? nodeId(id) : undefined;
}

/** Compares major and minor only. False for what is no version. */
function isAtLeast(version: string, min: string): boolean {
  const parts = majorMinor(version);
  const minParts = majorMinor(min);
  if (parts === undefined || minParts === undefined) return false;
  return parts.major > minParts.major || (parts.major === minParts.major && parts.minor >= minParts.minor);
}

function majorMinor(version: string): { readonly major: number; readonly minor: number } | undefined {
  const match = /^(\d{1,9})\.(\d{1,9})\.\d{1,9}(?:[-+].*)?$/.exec(version);
  return match === null ? undefined : { major: Number(match[1]), minor: Number(match[2]) };
}
