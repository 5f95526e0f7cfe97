// Ids of members and clusters, derived from the same flags to the same values as etcd derives them:
// the first 8 bytes of a SHA-1, big endian.

import { concatBytes, utf8 } from "../lib/bytes.ts";
import { type NodeId, nodeId } from "../lib/ids.ts";

/** SHA-1 as a port: the digest of the bytes, 20 bytes long. */
export type Sha1 = (bytes: Uint8Array) => Uint8Array;

/** The id of a member that bootstraps with these peer URLs under this `--initial-cluster-token`. */
export function bootstrapMemberId(peerUrls: readonly string[], token: string, sha1: Sha1): NodeId {
  return nodeId(firstEightBytes(sha1(utf8([...peerUrls].sort().join("") + token))));
}

/** The id of the cluster that these members bootstrap. */
export function bootstrapClusterId(members: readonly NodeId[], sha1: Sha1): bigint {
  const sorted = [...members].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  return firstEightBytes(sha1(concatBytes(sorted.map(bigEndian))));
}

function bigEndian(id: NodeId): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, id);
  return bytes;
}

function firstEightBytes(digest: Uint8Array): bigint {
  return new DataView(digest.buffer, digest.byteOffset, digest.length).getBigUint64(0);
}
