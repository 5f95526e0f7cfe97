// The requests of the hot calls by hand: Range and Put. Same values and bytes as the generic codec.

import { emptyBytes } from "../lib/bytes.ts";
import type { LeaseId } from "../lib/ids.ts";
import { noLease } from "../lib/ids.ts";
import {
  bytesFieldSizeUnlessEmpty,
  newMessage,
  numberFieldSizeUnlessZero,
  writeBytesFieldUnlessEmpty,
  writeNumberFieldUnlessZero,
} from "./fields.ts";
import { leaseFieldSize, writeLeaseField } from "./hot-kv.ts";
import { Reader, skipBeyond } from "./reader.ts";
import type { PutRequest, RangeRequest } from "./rpc.ts";

/** Key and rangeEnd are views of `bytes`. Throws WireError. */
export function decodeRangeRequest(bytes: Uint8Array): RangeRequest {
  return readRangeRequest(new Reader(bytes));
}

/** The message up to the reader's end. */
export function readRangeRequest(reader: Reader): RangeRequest {
  let key = emptyBytes;
  let rangeEnd = emptyBytes;
  let limit = 0;
  let revision = 0;
  let sortOrder = 0;
  let sortTarget = 0;
  let serializable = false;
  let keysOnly = false;
  let countOnly = false;
  let minModRevision = 0;
  let maxModRevision = 0;
  let minCreateRevision = 0;
  let maxCreateRevision = 0;
  while (reader.position < reader.end) {
    const tag = reader.tag();
    switch (tag) {
      case 10:
        key = reader.view();
        break;
      case 18:
        rangeEnd = reader.view();
        break;
      case 24:
        limit = reader.int64();
        break;
      case 32:
        revision = reader.int64();
        break;
      case 40:
        sortOrder = reader.int32();
        break;
      case 48:
        sortTarget = reader.int32();
        break;
      case 56:
        serializable = reader.bool();
        break;
      case 64:
        keysOnly = reader.bool();
        break;
      case 72:
        countOnly = reader.bool();
        break;
      case 80:
        minModRevision = reader.int64();
        break;
      case 88:
        maxModRevision = reader.int64();
        break;
      case 96:
        minCreateRevision = reader.int64();
        break;
      case 104:
        maxCreateRevision = reader.int64();
        break;
      default:
        skipBeyond(reader, tag, 13);
    }
  }
  return {
    key,
    rangeEnd,
    limit,
    revision,
    sortOrder,
    sortTarget,
    serializable,
    keysOnly,
    countOnly,
    minModRevision,
    maxModRevision,
    minCreateRevision,
    maxCreateRevision,
  };
}

/** Key and value are views of `bytes`. Throws WireError. */
export function decodePutRequest(bytes: Uint8Array): PutRequest {
  return readPutRequest(new Reader(bytes));
}

/** The message up to the reader's end. */
export function readPutRequest(reader: Reader): PutRequest {
  let key = emptyBytes;
  let value = emptyBytes;
  let lease = noLease;
  let prevKv = false;
  let ignoreValue = false;
  let ignoreLease = false;
  while (reader.position < reader.end) {
    const tag = reader.tag();
    switch (tag) {
      case 10:
        key = reader.view();
        break;
      case 18:
        value = reader.view();
        break;
      case 24:
        lease = reader.int64Id() as LeaseId;
        break;
      case 32:
        prevKv = reader.bool();
        break;
      case 40:
        ignoreValue = reader.bool();
        break;
      case 48:
        ignoreLease = reader.bool();
        break;
      default:
        skipBeyond(reader, tag, 6);
    }
  }
  return { key, value, lease, prevKv, ignoreValue, ignoreLease };
}

export function encodePutRequest(put: PutRequest): Uint8Array {
  const target = newMessage(putRequestSize(put));
  writePutRequest(target, 0, put);
  return target;
}

export function putRequestSize(put: PutRequest): number {
  return (
    bytesFieldSizeUnlessEmpty(put.key) +
    bytesFieldSizeUnlessEmpty(put.value) +
    leaseFieldSize(put.lease) +
    numberFieldSizeUnlessZero(put.prevKv ? 1 : 0) +
    numberFieldSizeUnlessZero(put.ignoreValue ? 1 : 0) +
    numberFieldSizeUnlessZero(put.ignoreLease ? 1 : 0)
  );
}

export function writePutRequest(target: Uint8Array, offset: number, put: PutRequest): number {
  let at = writeBytesFieldUnlessEmpty(target, offset, 1, put.key);
  at = writeBytesFieldUnlessEmpty(target, at, 2, put.value);
  at = writeLeaseField(target, at, 3, put.lease);
  at = writeNumberFieldUnlessZero(target, at, 4, put.prevKv ? 1 : 0);
  at = writeNumberFieldUnlessZero(target, at, 5, put.ignoreValue ? 1 : 0);
  return writeNumberFieldUnlessZero(target, at, 6, put.ignoreLease ? 1 : 0);
}

export function rangeRequestSize(range: RangeRequest): number {
  return (
    bytesFieldSizeUnlessEmpty(range.key) +
    bytesFieldSizeUnlessEmpty(range.rangeEnd) +
    numberFieldSizeUnlessZero(range.limit) +
    numberFieldSizeUnlessZero(range.revision) +
    numberFieldSizeUnlessZero(range.sortOrder) +
    numberFieldSizeUnlessZero(range.sortTarget) +
    (range.serializable ? 2 : 0) +
    (range.keysOnly ? 2 : 0) +
    (range.countOnly ? 2 : 0) +
    numberFieldSizeUnlessZero(range.minModRevision) +
    numberFieldSizeUnlessZero(range.maxModRevision) +
    numberFieldSizeUnlessZero(range.minCreateRevision) +
    numberFieldSizeUnlessZero(range.maxCreateRevision)
  );
}

export function writeRangeRequest(target: Uint8Array, offset: number, range: RangeRequest): number {
  let at = writeBytesFieldUnlessEmpty(target, offset, 1, range.key);
  at = writeBytesFieldUnlessEmpty(target, at, 2, range.rangeEnd);
  at = writeNumberFieldUnlessZero(target, at, 3, range.limit);
  at = writeNumberFieldUnlessZero(target, at, 4, range.revision);
  at = writeNumberFieldUnlessZero(target, at, 5, range.sortOrder);
  at = writeNumberFieldUnlessZero(target, at, 6, range.sortTarget);
  at = writeNumberFieldUnlessZero(target, at, 7, range.serializable ? 1 : 0);
  at = writeNumberFieldUnlessZero(target, at, 8, range.keysOnly ? 1 : 0);
  at = writeNumberFieldUnlessZero(target, at, 9, range.countOnly ? 1 : 0);
  at = writeNumberFieldUnlessZero(target, at, 10, range.minModRevision);
  at = writeNumberFieldUnlessZero(target, at, 11, range.maxModRevision);
  at = writeNumberFieldUnlessZero(target, at, 12, range.minCreateRevision);
  return writeNumberFieldUnlessZero(target, at, 13, range.maxCreateRevision);
}
