// Wire: protobuf bytes to and from the plain types of the core, pure and synchronous. It knows etcd's wire
// formats and the 64-bit integer rule (int64.ts), and nothing of transports, stores or what a message means.
// Tested against protobuf-es with random messages, and against golden bytes produced by etcd's own code.
//
// This file holds the generic codec of every message of the API and of log entries, under its plain name.
// Raft's own messages are in raft-codec.ts; hot-*.ts hold hand-written codecs with the same bytes.

import type { DescMessage, Message } from "@bufbuild/protobuf";
import type { GenMessage } from "@bufbuild/protobuf/codegenv2";
import * as auth from "../../proto/gen/authpb/auth_pb.ts";
import * as server from "../../proto/gen/etcdserverpb/etcdserver_pb.ts";
import * as internal from "../../proto/gen/etcdserverpb/raft_internal_pb.ts";
import * as rpc from "../../proto/gen/etcdserverpb/rpc_pb.ts";
import * as health from "../../proto/gen/grpc/health/v1/health_pb.ts";
import * as membership from "../../proto/gen/membershippb/membership_pb.ts";
import * as kv from "../../proto/gen/mvccpb/kv_pb.ts";
import * as election from "../../proto/gen/v3electionpb/v3election_pb.ts";
import * as lock from "../../proto/gen/v3lockpb/v3lock_pb.ts";
import type { Codec } from "./codec.ts";
import { codecOf, entryNestingLevelsMax } from "./codec.ts";
import { decodeKeyValue, encodeKeyValue } from "./hot-kv.ts";
import { decodePutRequest, decodeRangeRequest, encodePutRequest } from "./hot-requests.ts";
import {
  encodeEvent,
  encodeLeaseKeepAliveResponse,
  encodePutResponse,
  encodeRangeResponse,
  encodeRangeStreamResponse,
  encodeWatchResponse,
  putResponseSize,
  rangeResponsePieces,
  rangeResponseSize,
  writePutResponse,
  writeRangeResponse,
} from "./hot-responses.ts";
import {
  decodeTxnRequest,
  encodeTxnRequest,
  encodeTxnResponse,
  txnResponseSize,
  writeTxnResponse,
} from "./hot-txn.ts";
import type { Outgoing, Plain } from "./plain.ts";

type MessageOf<S> = S extends { readonly kind: "message" }
  ? S extends GenMessage<infer M extends Message>
    ? M
    : never
  : never;

/** One codec for each message of a generated module, named as the message. */
type CodecsOf<Module> = {
  readonly [K in keyof Module as K extends `${infer Name}Schema`
    ? Module[K] extends { readonly kind: "message" }
      ? Name
      : never
    : never]: Codec<Plain<MessageOf<Module[K]>>, Outgoing<MessageOf<Module[K]>>>;
};

/** `Member` is the client API's. */
export type Codecs = CodecsOf<typeof rpc> &
  CodecsOf<typeof kv> &
  CodecsOf<typeof auth> &
  CodecsOf<typeof internal> &
  CodecsOf<typeof server> &
  CodecsOf<typeof lock> &
  CodecsOf<typeof election> &
  CodecsOf<typeof health> &
  Omit<CodecsOf<typeof membership>, "Member">;

/** Generic throughout; the yardstick of the hot codecs. */
export const genericCodecs: Codecs = {
  ...compile(membership),
  ...compile(rpc),
  ...compile(kv),
  ...compile(auth),
  ...compile(internal),
  ...compile(server),
  ...compile(lock),
  ...compile(election),
  ...compile(health),
  InternalRaftRequest: codecOf(internal.InternalRaftRequestSchema, { levelsMax: entryNestingLevelsMax }),
};

/** The codec of every message: generic, or by hand where that pays. */
export const codecs: Codecs = {
  ...genericCodecs,
  Event: { ...genericCodecs.Event, encode: encodeEvent },
  KeyValue: { ...genericCodecs.KeyValue, encode: encodeKeyValue, decode: decodeKeyValue },
  LeaseKeepAliveResponse: { ...genericCodecs.LeaseKeepAliveResponse, encode: encodeLeaseKeepAliveResponse },
  PutRequest: { ...genericCodecs.PutRequest, encode: encodePutRequest, decode: decodePutRequest },
  PutResponse: {
    ...genericCodecs.PutResponse,
    encode: encodePutResponse,
    encoding: { size: putResponseSize, writeTo: writePutResponse },
  },
  RangeRequest: { ...genericCodecs.RangeRequest, decode: decodeRangeRequest },
  RangeResponse: {
    ...genericCodecs.RangeResponse,
    encode: encodeRangeResponse,
    encoding: { size: rangeResponseSize, writeTo: writeRangeResponse },
    encodePieces: rangeResponsePieces,
  },
  RangeStreamResponse: { ...genericCodecs.RangeStreamResponse, encode: encodeRangeStreamResponse },
  TxnRequest: { ...genericCodecs.TxnRequest, encode: encodeTxnRequest, decode: decodeTxnRequest },
  TxnResponse: {
    ...genericCodecs.TxnResponse,
    encode: encodeTxnResponse,
    encoding: { size: txnResponseSize, writeTo: writeTxnResponse },
  },
  WatchResponse: { ...genericCodecs.WatchResponse, encode: encodeWatchResponse },
};

function compile<Module extends object>(module: Module): CodecsOf<Module> {
  const compiled: Record<string, unknown> = {};
  for (const schema of Object.values(module)) {
    if (isMessageSchema(schema)) compiled[schema.name] = codecOf(schema as unknown as GenMessage<Message>);
  }
  return compiled as CodecsOf<Module>;
}

function isMessageSchema(exported: unknown): exported is DescMessage {
  return (
    typeof exported === "object" && exported !== null && "kind" in exported && exported.kind === "message"
  );
}
