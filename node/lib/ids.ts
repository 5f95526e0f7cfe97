// Opaque 64-bit identities. They are never counted with, so they are branded bigints;
// everything the cluster itself counts (term, index, revision) is a number.

declare const brand: unique symbol;

/** A member of the cluster. Zero means "none". Prints as lower-case hex. */
export type NodeId = bigint & { readonly [brand]: "NodeId" };

/** A lease. Clients may choose any int64, so negative ids are legal; zero means "no lease". */
export type LeaseId = bigint & { readonly [brand]: "LeaseId" };

export const noNode = 0n as NodeId;
export const noLease = 0n as LeaseId;

export function nodeId(id: bigint | number): NodeId {
  return BigInt(id) as NodeId;
}

export function leaseId(id: bigint | number): LeaseId {
  return BigInt(id) as LeaseId;
}

/** Lower-case hex of the unsigned 64-bit form, as etcd prints ids in logs, JSON and errors. */
export function hexId(id: bigint): string {
  return BigInt.asUintN(64, id).toString(16);
}
