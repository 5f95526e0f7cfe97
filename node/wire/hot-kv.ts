// KeyValue by hand: written once per put, read for every key of a range. Same bytes as the generic codec.

import { emptyBytes } from "../lib/bytes.ts";
import type { LeaseId } from "../lib/ids.ts";
import { noLease } from "../lib/ids.ts";
import {
  bytesFieldSizeUnlessEmpty,
  bytesTag,
  newMessage,
  numberFieldSizeUnlessZero,
  varintTag,
  writeBytesFieldUnlessEmpty,
  writeNumberFieldUnlessZero,
} from "./fields.ts";
import { bigintSize, writeBigint } from "./int64.ts";
import { Reader, skipBeyond } from "./reader.ts";
import type { KeyValue } from "./rpc.ts";

export function keyValueSize(kv: KeyValue): number {
  return (
    bytesFieldSizeUnlessEmpty(kv.key) +
    numberFieldSizeUnlessZero(kv.createRevision) +
    numberFieldSizeUnlessZero(kv.modRevision) +
    numberFieldSizeUnlessZero(kv.version) +
    bytesFieldSizeUnlessEmpty(kv.value) +
    leaseFieldSize(kv.lease)
  );
}

export function writeKeyValue(target: Uint8Array, offset: number, kv: KeyValue): number {
  let at = writeBytesFieldUnlessEmpty(target, offset, 1, kv.key);
  at = writeNumberFieldUnlessZero(target, at, 2, kv.createRevision);
  at = writeNumberFieldUnlessZero(target, at, 3, kv.modRevision);
  at = writeNumberFieldUnlessZero(target, at, 4, kv.version);
  at = writeBytesFieldUnlessEmpty(target, at, 5, kv.value);
  return writeLeaseField(target, at, 6, kv.lease);
}

export function encodeKeyValue(kv: KeyValue): Uint8Array {
  const target = newMessage(keyValueSize(kv));
  writeKeyValue(target, 0, kv);
  return target;
}

/** Key and value are views of `bytes`. */
export function decodeKeyValue(bytes: Uint8Array): KeyValue {
  const scan = new KeyValueScan(bytes);
  return {
    key: scan.key,
    createRevision: scan.createRevision,
    modRevision: scan.modRevision,
    version: scan.version,
    value: scan.value,
    lease: scan.lease,
  };
}

/**
 * The fields of an encoded KeyValue without copying: integers are read, key and value only located.
 * The bytes must stay unchanged while the scan is in use.
 */
export class KeyValueScan {
  readonly bytes: Uint8Array;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
  readonly lease: LeaseId;
  /** The key is bytes[keyStart, keyEnd), the value bytes[valueStart, valueEnd). */
  readonly keyStart: number;
  readonly keyEnd: number;
  readonly valueStart: number;
  readonly valueEnd: number;

  /** Throws WireError. */
  constructor(bytes: Uint8Array) {
    const reader = new Reader(bytes);
    let createRevision = 0;
    let modRevision = 0;
    let version = 0;
    let lease = noLease;
    let keyStart = 0;
    let keyEnd = 0;
    let valueStart = 0;
    let valueEnd = 0;
    while (reader.position < reader.end) {
      const tag = reader.tag();
      switch (tag) {
        case 10: {
          const length = reader.length();
          keyStart = reader.position;
          keyEnd = keyStart + length;
          reader.position = keyEnd;
          break;
        }
        case 16:
          createRevision = reader.int64();
          break;
        case 24:
          modRevision = reader.int64();
          break;
        case 32:
          version = reader.int64();
          break;
        case 42: {
          const length = reader.length();
          valueStart = reader.position;
          valueEnd = valueStart + length;
          reader.position = valueEnd;
          break;
        }
        case 48:
          lease = reader.int64Id() as LeaseId;
          break;
        default:
          skipBeyond(reader, tag, 6);
      }
    }
    this.bytes = bytes;
    this.createRevision = createRevision;
    this.modRevision = modRevision;
    this.version = version;
    this.lease = lease;
    this.keyStart = keyStart;
    this.keyEnd = keyEnd;
    this.valueStart = valueStart;
    this.valueEnd = valueEnd;
  }

  /** A view, not a copy. */
  get key(): Uint8Array {
    return this.keyEnd === this.keyStart ? emptyBytes : this.bytes.subarray(this.keyStart, this.keyEnd);
  }

  /** A view, not a copy. */
  get value(): Uint8Array {
    return this.valueEnd === this.valueStart
      ? emptyBytes
      : this.bytes.subarray(this.valueStart, this.valueEnd);
  }
}

/** The encoded key value without its value, for answers that carry keys only. Throws WireError. */
export function withoutValue(bytes: Uint8Array): Uint8Array {
  const reader = new Reader(bytes);
  while (reader.position < reader.end) {
    const start = reader.position;
    const tag = reader.tag();
    reader.skip(tag);
    if (tag !== bytesTag(5)) continue;
    const shortened = new Uint8Array(start + bytes.length - reader.position);
    shortened.set(bytes.subarray(0, start));
    shortened.set(bytes.subarray(reader.position), start);
    return shortened;
  }
  return bytes;
}

export function leaseFieldSize(lease: LeaseId): number {
  return lease === noLease ? 0 : 1 + bigintSize(lease);
}

export function writeLeaseField(target: Uint8Array, offset: number, field: number, lease: LeaseId): number {
  if (lease === noLease) return offset;
  target[offset] = varintTag(field);
  return writeBigint(target, offset + 1, lease);
}
