// The client API's messages as a table of field numbers and types, and a codec that reads them. The differential
// test does not use proto/gen: a mistake there has to show here. Decoding keeps what is on the wire, presence
// included, so an empty header and a missing one differ, and a field nobody knows shows as `#number`.
import { must } from "../../node/lib/assert.ts";

export type Value = bigint | boolean | string | Uint8Array | Message | readonly Value[];
export interface Message {
  readonly [field: string]: Value;
}
/** What requests are written with: numbers and text are taken for integers and bytes. */
export type Input =
  | undefined
  | number
  | bigint
  | boolean
  | string
  | Uint8Array
  | InputMessage
  | readonly Input[];
export interface InputMessage {
  readonly [field: string]: Input;
}

interface Field {
  readonly name: string;
  readonly number: number;
  readonly type: string;
  readonly repeated: boolean;
}

const enums: Readonly<Record<string, readonly string[]>> = {
  EventType: ["PUT", "DELETE"],
  SortOrder: ["NONE", "ASCEND", "DESCEND"],
  SortTarget: ["KEY", "VERSION", "CREATE", "MOD", "VALUE"],
  CompareResult: ["EQUAL", "GREATER", "LESS", "NOT_EQUAL"],
  CompareTarget: ["VERSION", "CREATE", "MOD", "VALUE", "LEASE"],
  FilterType: ["NOPUT", "NODELETE"],
  AlarmAction: ["GET", "ACTIVATE", "DEACTIVATE"],
  DowngradeAction: ["VALIDATE", "ENABLE", "CANCEL"],
  AlarmType: ["NONE", "NOSPACE", "CORRUPT"],
};

// One line a message: `name number type`, `*` for repeated.
const table = `
Header: cluster_id 1 uint64, member_id 2 uint64, revision 3 int64, raft_term 4 uint64
KeyValue: key 1 bytes, create_revision 2 int64, mod_revision 3 int64, version 4 int64, value 5 bytes, lease 6 int64
Event: type 1 EventType, kv 2 KeyValue, prev_kv 3 KeyValue
RangeRequest: key 1 bytes, range_end 2 bytes, limit 3 int64, revision 4 int64, sort_order 5 SortOrder, sort_target 6 SortTarget, serializable 7 bool, keys_only 8 bool, count_only 9 bool, min_mod_revision 10 int64, max_mod_revision 11 int64, min_create_revision 12 int64, max_create_revision 13 int64
RangeResponse: header 1 Header, kvs 2 *KeyValue, more 3 bool, count 4 int64
PutRequest: key 1 bytes, value 2 bytes, lease 3 int64, prev_kv 4 bool, ignore_value 5 bool, ignore_lease 6 bool
PutResponse: header 1 Header, prev_kv 2 KeyValue
DeleteRangeRequest: key 1 bytes, range_end 2 bytes, prev_kv 3 bool
DeleteRangeResponse: header 1 Header, deleted 2 int64, prev_kvs 3 *KeyValue
Compare: result 1 CompareResult, target 2 CompareTarget, key 3 bytes, version 4 int64, create_revision 5 int64, mod_revision 6 int64, value 7 bytes, lease 8 int64, range_end 64 bytes
RequestOp: request_range 1 RangeRequest, request_put 2 PutRequest, request_delete_range 3 DeleteRangeRequest, request_txn 4 TxnRequest
ResponseOp: response_range 1 RangeResponse, response_put 2 PutResponse, response_delete_range 3 DeleteRangeResponse, response_txn 4 TxnResponse
TxnRequest: compare 1 *Compare, success 2 *RequestOp, failure 3 *RequestOp
TxnResponse: header 1 Header, succeeded 2 bool, responses 3 *ResponseOp
CompactionRequest: revision 1 int64, physical 2 bool
CompactionResponse: header 1 Header
HashRequest:
HashResponse: header 1 Header, hash 2 uint32
HashKVRequest: revision 1 int64
HashKVResponse: header 1 Header, hash 2 uint32, compact_revision 3 int64, hash_revision 4 int64
WatchRequest: create_request 1 WatchCreateRequest, cancel_request 2 WatchCancelRequest, progress_request 3 WatchProgressRequest
WatchCreateRequest: key 1 bytes, range_end 2 bytes, start_revision 3 int64, progress_notify 4 bool, filters 5 *FilterType, prev_kv 6 bool, watch_id 7 int64, fragment 8 bool
WatchCancelRequest: watch_id 1 int64
WatchProgressRequest:
WatchResponse: header 1 Header, watch_id 2 int64, created 3 bool, canceled 4 bool, compact_revision 5 int64, cancel_reason 6 string, fragment 7 bool, events 11 *Event
LeaseGrantRequest: TTL 1 int64, ID 2 int64
LeaseGrantResponse: header 1 Header, ID 2 int64, TTL 3 int64, error 4 string
LeaseRevokeRequest: ID 1 int64
LeaseRevokeResponse: header 1 Header
LeaseKeepAliveRequest: ID 1 int64
LeaseKeepAliveResponse: header 1 Header, ID 2 int64, TTL 3 int64
LeaseTimeToLiveRequest: ID 1 int64, keys 2 bool
LeaseTimeToLiveResponse: header 1 Header, ID 2 int64, TTL 3 int64, grantedTTL 4 int64, keys 5 *bytes
LeaseLeasesRequest:
LeaseLeasesResponse: header 1 Header, leases 2 *LeaseStatus
LeaseStatus: ID 1 int64
Member: ID 1 uint64, name 2 string, peerURLs 3 *string, clientURLs 4 *string, isLearner 5 bool
MemberAddRequest: peerURLs 1 *string, isLearner 2 bool
MemberAddResponse: header 1 Header, member 2 Member, members 3 *Member
MemberRemoveRequest: ID 1 uint64
MemberRemoveResponse: header 1 Header, members 2 *Member
MemberUpdateRequest: ID 1 uint64, peerURLs 2 *string
MemberUpdateResponse: header 1 Header, members 2 *Member
MemberPromoteRequest: ID 1 uint64
MemberPromoteResponse: header 1 Header, members 2 *Member
MemberListRequest: linearizable 1 bool
MemberListResponse: header 1 Header, members 2 *Member
MoveLeaderRequest: targetID 1 uint64
MoveLeaderResponse: header 1 Header
DowngradeRequest: action 1 DowngradeAction, version 2 string
DowngradeResponse: header 1 Header, version 2 string
SnapshotRequest:
SnapshotResponse: header 1 Header, remaining_bytes 2 uint64, blob 3 bytes, version 4 string
AlarmRequest: action 1 AlarmAction, memberID 2 uint64, alarm 3 AlarmType
AlarmMember: memberID 1 uint64, alarm 2 AlarmType
AlarmResponse: header 1 Header, alarms 2 *AlarmMember
StatusRequest:
DefragmentRequest:
DefragmentResponse: header 1 Header
StatusResponse: header 1 Header, version 2 string, dbSize 3 int64, leader 4 uint64, raftIndex 5 uint64, raftTerm 6 uint64, raftAppliedIndex 7 uint64, errors 8 *string, dbSizeInUse 9 int64, isLearner 10 bool, storageVersion 11 string, dbSizeQuota 12 int64, downgradeInfo 13 DowngradeInfo
DowngradeInfo: enabled 1 bool, targetVersion 2 string
`;

const messages = new Map<string, readonly Field[]>();
for (const line of table.trim().split("\n")) {
  const [name = "", fields = ""] = line.split(":");
  messages.set(
    name,
    fields
      .split(",")
      .filter((field) => field.trim() !== "")
      .map((field) => {
        const [fieldName = "", number = "", type = ""] = field.trim().split(" ");
        return {
          name: fieldName,
          number: Number(number),
          type: type.replace("*", ""),
          repeated: type[0] === "*",
        };
      }),
  );
}

function fieldsOf(type: string): readonly Field[] {
  return must(messages.get(type), "the message type is in the table", { type });
}

/** Encodes every field that is given, zero values too. */
export function encode(type: string, message: InputMessage): Buffer {
  const parts: Buffer[] = [];
  const fields = fieldsOf(type);
  for (const name of Object.keys(message)) {
    must(
      fields.find((field) => field.name === name),
      "the message has the field",
      { type, name },
    );
  }
  for (const field of fields) {
    const input = message[field.name];
    if (input === undefined) continue;
    for (const one of field.repeated ? (input as readonly Input[]) : [input]) encodeField(parts, field, one);
  }
  return Buffer.concat(parts);
}

function encodeField(parts: Buffer[], field: Field, input: Input): void {
  const scalar = integerOf(field.type, input);
  if (scalar !== undefined) {
    parts.push(varint(BigInt(field.number << 3)), varint(BigInt.asUintN(64, scalar)));
    return;
  }
  const payload = messages.has(field.type) ? encode(field.type, input as InputMessage) : bytesOf(input);
  parts.push(varint(BigInt((field.number << 3) | 2)), varint(BigInt(payload.length)), payload);
}

function integerOf(type: string, input: Input): bigint | undefined {
  if (type === "bool") return input === true ? 1n : 0n;
  const names = enums[type];
  if (names !== undefined && typeof input === "string") return BigInt(names.indexOf(input));
  if (names !== undefined || type.includes("int")) return BigInt(input as number | bigint);
  return undefined;
}

function bytesOf(input: Input): Buffer {
  return typeof input === "string" ? Buffer.from(input, "latin1") : Buffer.from(input as Uint8Array);
}

function varint(value: bigint): Buffer {
  const bytes: number[] = [];
  let rest = value;
  while (rest >= 0x80n) {
    bytes.push(Number(rest & 0x7fn) | 0x80);
    rest >>= 7n;
  }
  bytes.push(Number(rest));
  return Buffer.from(bytes);
}

/** Decodes what is there: no defaults for absent fields, an unknown field under `#number`. */
export function decode(type: string, bytes: Uint8Array): Message {
  const fields = fieldsOf(type);
  const message: Record<string, Value> = {};
  const reader = { bytes, offset: 0 };
  while (reader.offset < bytes.length) {
    const tag = Number(readVarint(reader));
    const field = fields.find((candidate) => candidate.number === tag >>> 3);
    const raw = readRaw(reader, tag & 7);
    const name = field?.name ?? `#${tag >>> 3}`;
    if (field === undefined) message[name] = raw;
    else if (!field.repeated) message[name] = typed(field.type, raw);
    else {
      message[name] ??= [];
      (message[name] as Value[]).push(...unpacked(field, raw));
    }
  }
  return message;
}

function unpacked(field: Field, raw: bigint | Uint8Array): readonly Value[] {
  const isPacked = typeof raw !== "bigint" && (field.type in enums || field.type.includes("int"));
  if (!isPacked) return [typed(field.type, raw)];
  const reader = { bytes: raw, offset: 0 };
  const values: Value[] = [];
  while (reader.offset < raw.length) values.push(typed(field.type, readVarint(reader)));
  return values;
}

function typed(type: string, raw: bigint | Uint8Array): Value {
  const names = enums[type];
  if (typeof raw === "bigint") {
    if (names !== undefined) return names[Number(raw)] ?? raw;
    if (type === "bool") return raw !== 0n;
    return type === "int64" ? BigInt.asIntN(64, raw) : raw;
  }
  if (messages.has(type)) return decode(type, raw);
  return type === "string" ? Buffer.from(raw).toString("utf8") : raw;
}

interface Reader {
  readonly bytes: Uint8Array;
  offset: number;
}

function readRaw(reader: Reader, wireType: number): bigint | Uint8Array {
  if (wireType === 0) return readVarint(reader);
  if (wireType === 2) return take(reader, Number(readVarint(reader)));
  if (wireType === 1) return take(reader, 8);
  if (wireType === 5) return take(reader, 4);
  throw new Error(`wire type ${wireType} at byte ${reader.offset} is not protobuf`);
}

function take(reader: Reader, length: number): Uint8Array {
  const end = reader.offset + length;
  if (end > reader.bytes.length) throw new Error(`a field of ${length} bytes passes the end of its message`);
  const slice = reader.bytes.subarray(reader.offset, end);
  reader.offset = end;
  return slice;
}

function readVarint(reader: Reader): bigint {
  let value = 0n;
  for (let shift = 0n; shift < 70n; shift += 7n) {
    const byte = reader.bytes[reader.offset++];
    if (byte === undefined) throw new Error("a varint passes the end of its message");
    value |= BigInt(byte & 0x7f) << shift;
    if (byte < 0x80) return BigInt.asUintN(64, value);
  }
  throw new Error("a varint is longer than ten bytes");
}

/** One line a person can read and paste back: bytes as quoted latin1, long ones cut. */
export function show(value: Input | Value, depth = 0): string {
  if (value === undefined) return "-";
  if (value instanceof Uint8Array) return quoted(Buffer.from(value).toString("latin1"));
  if (typeof value === "string") return quoted(value);
  if (Array.isArray(value)) return `[${value.map((one: Input) => show(one, depth + 1)).join(", ")}]`;
  if (typeof value !== "object") return String(value);
  const entries = Object.entries(value as InputMessage).map(
    ([name, one]) => `${name}: ${show(one, depth + 1)}`,
  );
  return depth === 0 ? entries.join(", ") : `{${entries.join(", ")}}`;
}

function quoted(text: string): string {
  const shown = text.length > 80 ? `${text.slice(0, 60)}...(${text.length})` : text;
  return `"${shown.replace(/[^\x20-\x7e]|"|\\/g, (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, "0")}`)}"`;
}
