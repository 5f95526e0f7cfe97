// mvccpb.KeyValue, the one message that is stored: written once by a put, then spliced as bytes into answers and
// events. Hot on both sides, so written by hand; a test compares with the generated codec.

import { type LeaseId, leaseId, noLease } from "../lib/ids.ts";
import { bigintSize, numberSize, writeBigint, writeNumber } from "./int64.ts";
import { Reader } from "./reader.ts";

/** Zero integers and empty bytes are absent on the wire. */
export interface KeyValueFields {
  readonly key: Uint8Array;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
  readonly value: Uint8Array;
  readonly lease: LeaseId;
}

const tags = {
  key: 0x0a,
  createRevision: 0x10,
  modRevision: 0x18,
  version: 0x20,
  value: 0x2a,
  lease: 0x30,
} as const;

export function encodeKeyValue(fields: KeyValueFields): Uint8Array {
  const { key, createRevision, modRevision, version, value, lease } = fields;
  const size =
    bytesFieldSize(key) +
    numberFieldSize(createRevision) +
    numberFieldSize(modRevision) +
    numberFieldSize(version) +
    bytesFieldSize(value) +
    (lease === noLease ? 0 : 1 + bigintSize(lease));
  const target = new Uint8Array(size);
  let at = writeBytesField(target, 0, tags.key, key);
  at = writeNumberField(target, at, tags.createRevision, createRevision);
  at = writeNumberField(target, at, tags.modRevision, modRevision);
  at = writeNumberField(target, at, tags.version, version);
  at = writeBytesField(target, at, tags.value, value);
  if (lease !== noLease) {
    target[at] = tags.lease;
    writeBigint(target, at + 1, lease);
  }
  return target;
}

/** Byte fields are views of the input. */
export function decodeKeyValue(bytes: Uint8Array): KeyValueFields {
  const reader = new Reader(bytes);
  let key = bytes.subarray(0, 0);
  let value = key;
  let createRevision = 0;
  let modRevision = 0;
  let version = 0;
  let lease = noLease;
  while (reader.position < reader.end) {
    const tag = reader.tag();
    if (tag === tags.key) key = reader.view();
    else if (tag === tags.createRevision) createRevision = reader.int64();
    else if (tag === tags.modRevision) modRevision = reader.int64();
    else if (tag === tags.version) version = reader.int64();
    else if (tag === tags.value) value = reader.view();
    else if (tag === tags.lease) lease = leaseId(reader.int64Id());
    else reader.skip(tag);
  }
  return { key, createRevision, modRevision, version, value, lease };
}

/** The record's key, a view of the input. */
export function keyOfRecord(bytes: Uint8Array): Uint8Array {
  // The key is the first field of whatever etcd or we wrote.
  if (bytes[0] !== tags.key) return decodeKeyValue(bytes).key;
  const reader = new Reader(bytes);
  reader.tag();
  return reader.view();
}

/** The same record with an empty value, as `keys_only` shows it. */
export function withoutValue(bytes: Uint8Array): Uint8Array {
  const reader = new Reader(bytes);
  while (reader.position < reader.end) {
    const start = reader.position;
    const tag = reader.tag();
    reader.skip(tag);
    if (tag !== tags.value) continue;
    const rest = bytes.length - reader.position;
    const shortened = new Uint8Array(start + rest);
    shortened.set(bytes.subarray(0, start));
    shortened.set(bytes.subarray(reader.position), start);
    return shortened;
  }
  return bytes;
}

function bytesFieldSize(bytes: Uint8Array): number {
  return bytes.length === 0 ? 0 : 1 + numberSize(bytes.length) + bytes.length;
}

function numberFieldSize(value: number): number {
  return value === 0 ? 0 : 1 + numberSize(value);
}

function writeBytesField(target: Uint8Array, offset: number, tag: number, bytes: Uint8Array): number {
  if (bytes.length === 0) return offset;
  target[offset] = tag;
  const start = writeNumber(target, offset + 1, bytes.length);
  target.set(bytes, start);
  return start + bytes.length;
}

function writeNumberField(target: Uint8Array, offset: number, tag: number, value: number): number {
  if (value === 0) return offset;
  target[offset] = tag;
  return writeNumber(target, offset + 1, value);
}
