// The plain types that handlers see, derived from the generated ones: same field names, but 64-bit integers
// are numbers, ids are (branded) bigints, enums are their wire numbers, and an absent value is `undefined`.

import type { Message } from "@bufbuild/protobuf";
import type { LeaseId, NodeId } from "../lib/ids.ts";

/** 64-bit fields that hold an opaque identity instead of something the cluster counts. */
export const idFields = [
  "ID",
  "clusterId",
  "memberId",
  "memberID",
  "targetID",
  "leader",
  "lease",
  "watchId",
  "NodeID",
  "ClusterID",
] as const;

type IdField = (typeof idFields)[number];

type NodeIdField = "memberId" | "memberID" | "targetID" | "leader" | "NodeID";

/** Fields of the legacy v2 request that Go holds as pointers: absent differs from false. */
export type PointerField = "PrevExist" | "Refresh";

/** A decoded message. Bytes in it are views of the input: copy before keeping. */
export type Plain<M> = {
  readonly [K in Exclude<keyof M, "$typeName" | "$unknown">]-?: PlainField<TypeNameOf<M>, K, M[K]>;
};

/**
 * A message on its way out. Wherever a sub-message stands, its encoded bytes may stand instead:
 * stored key values and shared events are spliced into the answer as they are.
 */
export type Outgoing<M> = {
  readonly [K in Exclude<keyof M, "$typeName" | "$unknown">]-?: OutgoingField<TypeNameOf<M>, K, M[K]>;
};

type TypeNameOf<M> = M extends { readonly $typeName: infer Name } ? Name : never;

type PlainField<Name, K, V> =
  | (undefined extends V ? undefined : never)
  | (K extends PointerField ? undefined : never)
  | PlainValue<Name, K, Exclude<V, undefined>>;

type PlainValue<Name, K, V> = [V] extends [bigint]
  ? Integer<Name, K>
  : [V] extends [boolean | string | Uint8Array]
    ? V
    : [V] extends [number]
      ? number
      : [V] extends [readonly (infer Item)[]]
        ? readonly PlainValue<Name, K, Item>[]
        : [V] extends [Message]
          ? Plain<V>
          : PlainOneof<Name, V>;

/** Unset is `undefined` as a whole, unlike the generated `{ case: undefined }`. */
type PlainOneof<Name, V> = V extends { case: infer C extends string; value: infer W }
  ? { readonly case: C; readonly value: PlainValue<Name, C, W> }
  : undefined;

type OutgoingField<Name, K, V> =
  | (undefined extends V ? undefined : never)
  | (K extends PointerField ? undefined : never)
  | OutgoingValue<Name, K, Exclude<V, undefined>>;

type OutgoingValue<Name, K, V> = [V] extends [bigint | boolean | string | Uint8Array | number]
  ? PlainValue<Name, K, V>
  : [V] extends [readonly (infer Item)[]]
    ? readonly OutgoingValue<Name, K, Item>[]
    : [V] extends [Message]
      ? Outgoing<V> | Uint8Array
      : OutgoingOneof<Name, V>;

type OutgoingOneof<Name, V> = V extends { case: infer C extends string; value: infer W }
  ? { readonly case: C; readonly value: OutgoingValue<Name, C, W> }
  : undefined;

type Integer<Name, K> = K extends IdField ? Id<Name, K> : number;

type Id<Name, K> = K extends "lease"
  ? LeaseId
  : K extends NodeIdField
    ? NodeId
    : K extends "ID"
      ? Name extends `etcdserverpb.Lease${string}`
        ? LeaseId
        : Name extends `etcdserverpb.Member${string}` | `membershippb.Member`
          ? NodeId
          : bigint
      : bigint;
