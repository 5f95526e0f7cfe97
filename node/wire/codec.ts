// The generic codec: protobuf descriptors compiled once into plans that read and write our own plain types.
//
// Decoding follows etcd's generated Go code: the last of several scalars wins, several occurrences of a
// singular sub-message merge, unknown fields are skipped. Encoding emits fields in number order, as Go does.
// proto3 zero values are left out; a sub-message that is present is written even when empty. In proto2 files
// everything but bytes, sub-messages and pointer fields is always written.

import type { DescField, DescMessage, Message } from "@bufbuild/protobuf";
import { ScalarType } from "@bufbuild/protobuf";
import type { GenMessage } from "@bufbuild/protobuf/codegenv2";
import { assert, must } from "../lib/assert.ts";
import { emptyBytes } from "../lib/bytes.ts";
import { WireError } from "./error.ts";
import type { Outgoing, Plain, PointerField } from "./plain.ts";
import { idFields } from "./plain.ts";
import { Reader, wireBytes, wireVarint } from "./reader.ts";
import { Writer } from "./writer.ts";

export interface Pieces {
  /** Bytes of all pieces. */
  readonly size: number;
  /** The next piece, undefined behind the last. Each holds whole fields of the message. */
  next(): Uint8Array | undefined;
}

/** A message that is there as a whole. */
export function onePiece(message: Uint8Array): Pieces {
  let rest: Uint8Array | undefined = message;
  return {
    size: message.length,
    next() {
      const piece = rest;
      rest = undefined;
      return piece;
    },
  };
}

/** How a message is written into bytes that are there already. */
export interface Encoding<Out> {
  /** Exact length. */
  size(message: Out): number;
  /** Returns the offset behind it. */
  writeTo(target: Uint8Array, offset: number, message: Out): number;
}

export interface Codec<In, Out = In> {
  /** For example `etcdserverpb.RangeRequest`. */
  readonly typeName: string;
  /** Throws WireError. Bytes in the result are views of `bytes`. */
  decode(bytes: Uint8Array): In;
  encode(message: Out): Uint8Array;
  /** For messages that are often sent. */
  readonly encoding?: Encoding<Out>;
  /** The encoding of a large message piece by piece, undefined for one that is not large or where that is not known. */
  encodePieces?(message: Out): Pieces | undefined;
  /** A complete message: `fields`, and zero values for the rest. */
  create(fields?: Partial<In>): In;
  /** Number of the first field that the message does not know; undefined if it knows all. Throws WireError. */
  unknownField(bytes: Uint8Array): number | undefined;
}

/**
 * Messages within messages from a client; a nested transaction takes two levels, and one operation of the limit on
 * those. Deeper ones are refused with a WireError so that recursion here and in the handlers is bounded.
 */
export const nestingLevelsMax = 900;

/**
 * For log entries. They were accepted by a member already, possibly by one without our bound, and an entry
 * that cannot be read stops the member.
 */
export const entryNestingLevelsMax = 1_000;

type Value = number | bigint | boolean | string | Uint8Array | PlainRecord | undefined;
type PlainRecord = { [name: string]: Value | Value[] | OneofValue };
type OneofValue = { readonly case: string; readonly value: Value };

type Kind =
  | "int64"
  | "uint64"
  | "int64Id"
  | "uint64Id"
  | "int32"
  | "uint32"
  | "bool"
  | "string"
  | "bytes"
  | "message";

interface FieldPlan {
  readonly name: string;
  readonly number: number;
  readonly kind: Kind;
  readonly isList: boolean;
  readonly isPacked: boolean;
  /** The property of the oneof it belongs to. */
  readonly oneof: string | undefined;
  /** Go holds it without presence and writes it even when zero (proto2). */
  readonly isAlwaysWritten: boolean;
  /** Absent differs from zero. */
  readonly hasPresence: boolean;
  readonly tag: number;
  /** The plan of a sub-message. */
  readonly message: MessagePlan | undefined;
}

interface MessagePlan {
  readonly typeName: string;
  /** In number order. Filled after creation, since messages may contain themselves. */
  readonly fields: FieldPlan[];
  readonly byNumber: Map<number, FieldPlan>;
  /** Every property with its zero value, one property for a whole oneof. Copied for each message decoded. */
  blank: PlainRecord;
}

/** Shared by all messages without items; decoding replaces it before it adds one. */
const emptyList: Value[] = Object.freeze([]) as unknown as Value[];

const pointerFields: ReadonlySet<string> = new Set<PointerField>(["PrevExist", "Refresh"]);
const idFieldNames: ReadonlySet<string> = new Set(idFields);
const plans = new Map<string, MessagePlan>();
const writer = new Writer();

/** The codec of one message type; compile it once, at module load. */
export function codecOf<M extends Message>(
  schema: GenMessage<M>,
  { levelsMax = nestingLevelsMax } = {},
): Codec<Plain<M>, Outgoing<M>> {
  const plan = planOf(schema as unknown as DescMessage);
  return {
    typeName: plan.typeName,
    decode(bytes) {
      const record = { ...plan.blank };
      decodeInto(record, plan, new Reader(bytes), levelsMax);
      return record as unknown as Plain<M>;
    },
    encode(message) {
      writer.reset();
      encodeMessage(plan, message as unknown as PlainRecord);
      return writer.finish();
    },
    create(fields) {
      return { ...plan.blank, ...fields } as unknown as Plain<M>;
    },
    unknownField(bytes) {
      const reader = new Reader(bytes);
      while (reader.position < reader.end) {
        const tag = reader.tag();
        if (!plan.byNumber.has(tag >>> 3)) return tag >>> 3;
        reader.skip(tag);
      }
      return undefined;
    },
  };
}

function planOf(message: DescMessage): MessagePlan {
  const known = plans.get(message.typeName);
  if (known !== undefined) return known;
  const plan: MessagePlan = { typeName: message.typeName, fields: [], byNumber: new Map(), blank: {} };
  plans.set(message.typeName, plan);
  for (const field of message.fields) {
    const fieldPlan = planOfField(field);
    plan.fields.push(fieldPlan);
    plan.byNumber.set(fieldPlan.number, fieldPlan);
  }
  plan.fields.sort((a, b) => a.number - b.number);
  for (const member of message.members) {
    const field = member.kind === "oneof" ? undefined : plan.byNumber.get(member.number);
    plan.blank[member.localName] = field === undefined ? undefined : zeroOf(field);
  }
  // An object filled property by property becomes a slow dictionary; a copy of it does not.
  plan.blank = { ...plan.blank };
  return plan;
}

function planOfField(field: DescField): FieldPlan {
  assert(field.fieldKind !== "map", "no message has map fields", { field: field.name });
  const isProto2 = field.parent.file.proto.syntax !== "proto3";
  const kind = kindOf(field);
  const isList = field.fieldKind === "list";
  const isPacked = isList && field.packed;
  const isPointer = pointerFields.has(field.localName);
  const wireType =
    isPacked || kind === "string" || kind === "bytes" || kind === "message" ? wireBytes : wireVarint;
  return {
    name: field.localName,
    number: field.number,
    kind,
    isList,
    isPacked,
    oneof: field.oneof?.localName,
    isAlwaysWritten: isProto2 && !isList && !isPointer && kind !== "bytes" && kind !== "message",
    hasPresence: (isProto2 && isPointer) || (!isList && kind === "message"),
    tag: field.number * 8 + wireType,
    message: field.message === undefined ? undefined : planOf(field.message),
  };
}

function kindOf(field: DescField): Kind {
  if (field.message !== undefined) return "message";
  if (field.enum !== undefined) return "int32";
  const isId = idFieldNames.has(field.localName);
  switch (field.scalar) {
    case ScalarType.INT64:
      return isId ? "int64Id" : "int64";
    case ScalarType.UINT64:
      return isId ? "uint64Id" : "uint64";
    case ScalarType.INT32:
      return "int32";
    case ScalarType.UINT32:
      return "uint32";
    case ScalarType.BOOL:
      return "bool";
    case ScalarType.STRING:
      return "string";
    case ScalarType.BYTES:
      return "bytes";
    default:
      assert(false, "every scalar type in use is supported", { field: field.toString() });
  }
}

function zeroOf(field: FieldPlan): Value | Value[] {
  if (field.isList) return emptyList;
  if (field.hasPresence) return undefined;
  switch (field.kind) {
    case "int64Id":
    case "uint64Id":
      return 0n;
    case "bool":
      return false;
    case "string":
      return "";
    case "bytes":
      return emptyBytes;
    default:
      return 0;
  }
}

function decodeInto(record: PlainRecord, plan: MessagePlan, reader: Reader, levels: number): void {
  while (reader.position < reader.end) {
    const start = reader.position;
    const tag = reader.tag();
    const field = plan.byNumber.get(tag >>> 3);
    if (field === undefined) {
      reader.skip(tag);
    } else if (tag === field.tag || (field.isPacked && tag === field.number * 8 + wireVarint)) {
      if (field.isPacked && tag === field.tag) readPacked(record, field, reader);
      else if (field.isList) listOf(record, field).push(readValue(field, reader, undefined, levels));
      else if (field.oneof !== undefined) {
        record[field.oneof] = { case: field.name, value: readValue(field, reader, undefined, levels) };
      } else {
        record[field.name] = readValue(field, reader, record[field.name] as Value, levels);
      }
    } else {
      throw new WireError(start, `the wire type of ${plan.typeName}.${field.name}`);
    }
  }
}

function listOf(record: PlainRecord, field: FieldPlan): Value[] {
  const list = record[field.name] as Value[];
  if (list !== emptyList) return list;
  const fresh: Value[] = [];
  record[field.name] = fresh;
  return fresh;
}

function readPacked(record: PlainRecord, field: FieldPlan, reader: Reader): void {
  const length = reader.length();
  const outerEnd = reader.end;
  reader.end = reader.position + length;
  const list = listOf(record, field);
  while (reader.position < reader.end) list.push(readValue(field, reader, undefined, 0));
  reader.end = outerEnd;
}

/** `previous` is what an earlier occurrence of a sub-message left; the new one merges into it. */
function readValue(field: FieldPlan, reader: Reader, previous: Value, levels: number): Value {
  switch (field.kind) {
    case "int64":
      return reader.int64();
    case "uint64":
      return reader.uint64();
    case "int64Id":
      return reader.int64Id();
    case "uint64Id":
      return reader.uint64Id();
    case "int32":
      return reader.int32();
    case "uint32":
      return reader.uint32();
    case "bool":
      return reader.bool();
    case "string":
      return reader.text();
    case "bytes":
      return reader.view();
    case "message": {
      if (levels === 0) throw new WireError(reader.position, "fewer levels of nested messages");
      const plan = must(field.message, "a message field has a plan");
      const record = previous === undefined ? { ...plan.blank } : (previous as PlainRecord);
      const length = reader.length();
      const outerEnd = reader.end;
      reader.end = reader.position + length;
      decodeInto(record, plan, reader, levels - 1);
      reader.end = outerEnd;
      return record;
    }
  }
}

function encodeMessage(plan: MessagePlan, record: PlainRecord): void {
  for (let i = plan.fields.length - 1; i >= 0; i--) {
    const field = plan.fields[i] as FieldPlan;
    if (field.oneof !== undefined) {
      const chosen = record[field.oneof] as OneofValue | undefined;
      if (chosen !== undefined && chosen.case === field.name) writeField(field, chosen.value);
    } else if (field.isList) {
      writeList(field, record[field.name] as Value[]);
    } else {
      const value = record[field.name] as Value;
      if (field.hasPresence ? value !== undefined : field.isAlwaysWritten || !isZero(value)) {
        writeField(field, value);
      }
    }
  }
}

function isZero(value: Value): boolean {
  return value instanceof Uint8Array ? value.length === 0 : !value;
}

function writeList(field: FieldPlan, list: readonly Value[]): void {
  if (!field.isPacked) {
    for (let i = list.length - 1; i >= 0; i--) writeField(field, list[i]);
  } else if (list.length > 0) {
    const sizeBefore = writer.size;
    for (let i = list.length - 1; i >= 0; i--) writeValue(field, list[i]);
    writer.number(writer.size - sizeBefore);
    writer.number(field.tag);
  }
}

function writeField(field: FieldPlan, value: Value): void {
  writeValue(field, value);
  writer.number(field.tag);
}

function writeValue(field: FieldPlan, value: Value): void {
  switch (field.kind) {
    case "int64":
    case "uint64":
    case "int32":
    case "uint32":
      writer.number(value as number);
      return;
    case "int64Id":
    case "uint64Id":
      writer.bigint(value as bigint);
      return;
    case "bool":
      writer.number(value === true ? 1 : 0);
      return;
    case "string":
      writer.text(value as string);
      return;
    case "bytes":
      writer.bytes(value as Uint8Array);
      return;
    case "message": {
      if (value instanceof Uint8Array) {
        writer.bytes(value);
        return;
      }
      const sizeBefore = writer.size;
      encodeMessage(must(field.message, "a message field has a plan"), value as PlainRecord);
      writer.number(writer.size - sizeBefore);
      return;
    }
  }
}
