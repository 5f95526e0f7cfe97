// What membership change entries carry: the two protobuf messages, read and written here because the core must
// understand the changes it replicates. Changes are rare, so clarity wins over speed.

import { must } from "../lib/assert.ts";
import { concatBytes, emptyBytes } from "../lib/bytes.ts";
import { type NodeId, nodeId } from "../lib/ids.ts";
import {
  type ConfChange,
  type ConfChangeSingle,
  type ConfChangeTransition,
  type ConfChangeType,
  type ConfChangeV2,
  confChangeTypes,
  type Entry,
  type EntryType,
} from "../wire/raft.ts";

const transitions: readonly ConfChangeTransition[] = [
  "ConfChangeTransitionAuto",
  "ConfChangeTransitionJointImplicit",
  "ConfChangeTransitionJointExplicit",
];

/** A change of either form; the old one has `type`, the new one `changes`. */
export type AnyConfChange = ConfChange | ConfChangeV2;

/** The one-change form as the general one. */
export function asV2(change: AnyConfChange): ConfChangeV2 {
  if ("changes" in change) return change;
  return {
    transition: "ConfChangeTransitionAuto",
    changes: [{ type: change.type, nodeId: change.nodeId }],
    context: change.context,
  };
}

export function isConfChange(type: EntryType): boolean {
  return type !== "EntryNormal";
}

/** The change in an entry of one of the two conf change types; undefined when the bytes are not one. */
export function confChangeOf(entry: Entry): ConfChangeV2 | undefined {
  if (entry.type === "EntryConfChangeV2") return decodeConfChangeV2(entry.data);
  const change = decodeConfChange(entry.data);
  return change === undefined ? undefined : asV2(change);
}

export function encodeConfChange(change: ConfChange): Uint8Array {
  return concatBytes([
    change.id === 0n ? emptyBytes : varintField(1, change.id),
    varintField(2, BigInt(confChangeTypes.indexOf(change.type))),
    varintField(3, change.nodeId),
    change.context.length === 0 ? emptyBytes : bytesField(4, change.context),
  ]);
}

export function encodeConfChangeV2(change: ConfChangeV2): Uint8Array {
  const parts = [varintField(1, BigInt(transitions.indexOf(change.transition)))];
  for (const single of change.changes) {
    const type = varintField(1, BigInt(confChangeTypes.indexOf(single.type)));
    parts.push(bytesField(2, concatBytes([type, varintField(2, single.nodeId)])));
  }
  if (change.context.length > 0) parts.push(bytesField(3, change.context));
  return concatBytes(parts);
}

export function decodeConfChange(bytes: Uint8Array): ConfChange | undefined {
  const fields = readFields(bytes);
  if (fields === undefined) return undefined;
  const type = typeOf(fields, 2);
  if (type === undefined) return undefined;
  return {
    id: lastInteger(fields, 1),
    type,
    nodeId: idOf(fields, 3),
    context: lastBytes(fields, 4),
  };
}

export function decodeConfChangeV2(bytes: Uint8Array): ConfChangeV2 | undefined {
  const fields = readFields(bytes);
  if (fields === undefined) return undefined;
  const transition = transitions[Number(lastInteger(fields, 1))];
  if (transition === undefined) return undefined;
  const changes: ConfChangeSingle[] = [];
  for (const field of fields) {
    if (field.number !== 2 || typeof field.value === "bigint") continue;
    const inner = readFields(field.value);
    const type = inner === undefined ? undefined : typeOf(inner, 1);
    if (inner === undefined || type === undefined) return undefined;
    changes.push({ type, nodeId: idOf(inner, 2) });
  }
  return { transition, changes, context: lastBytes(fields, 3) };
}

interface Field {
  readonly number: number;
  readonly value: bigint | Uint8Array;
}

/** All fields of a message in order, or undefined when the bytes end early or hold an unknown wire type. */
function readFields(bytes: Uint8Array): Field[] | undefined {
  const fields: Field[] = [];
  let at = 0;
  const varint = (): bigint | undefined => {
    let value = 0n;
    for (let shift = 0n; shift < 70n && at < bytes.length; shift += 7n) {
      const byte = must(bytes[at++], "read inside the bounds just checked");
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asUintN(64, value);
    }
    return undefined;
  };
  while (at < bytes.length) {
    const tag = varint();
    if (tag === undefined) return undefined;
    const number = Number(tag >> 3n);
    switch (tag & 7n) {
      case 0n: {
        const value = varint();
        if (value === undefined) return undefined;
        fields.push({ number, value });
        break;
      }
      case 2n: {
        const length = varint();
        if (length === undefined || length > BigInt(bytes.length - at)) return undefined;
        fields.push({ number, value: bytes.subarray(at, at + Number(length)) });
        at += Number(length);
        break;
      }
      default:
        return undefined;
    }
  }
  return fields;
}

function lastInteger(fields: readonly Field[], number: number): bigint {
  const value = fields.findLast((field) => field.number === number)?.value;
  return typeof value === "bigint" ? value : 0n;
}

function lastBytes(fields: readonly Field[], number: number): Uint8Array {
  const value = fields.findLast((field) => field.number === number)?.value;
  return value === undefined || typeof value === "bigint" ? emptyBytes : value;
}

function typeOf(fields: readonly Field[], number: number): ConfChangeType | undefined {
  return confChangeTypes[Number(lastInteger(fields, number))];
}

function idOf(fields: readonly Field[], number: number): NodeId {
  return nodeId(lastInteger(fields, number));
}

function varintField(number: number, value: bigint): Uint8Array {
  return Uint8Array.from([number << 3, ...varintOf(value)]);
}

function bytesField(number: number, value: Uint8Array): Uint8Array {
  return concatBytes([Uint8Array.from([(number << 3) | 2, ...varintOf(BigInt(value.length))]), value]);
}

function varintOf(value: bigint): number[] {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, value);
  while (rest >= 0x80n) {
    bytes.push(Number(rest & 0x7fn) | 0x80);
    rest >>= 7n;
  }
  bytes.push(Number(rest));
  return bytes;
}
