// The log entries of puts and transactions by hand: an InternalRaftRequest of which they are the only operation. Same
// values and bytes as the generic codec.

import { entryNestingLevelsMax } from "./codec.ts";
import { newMessage, sizedFieldSize, writeFieldStart } from "./fields.ts";
import { putRequestSize, readPutRequest, writePutRequest } from "./hot-requests.ts";
import { readTxnRequest, txnRequestSize, writeTxnRequest } from "./hot-txn.ts";
import { numberSize, varintSize, writeNumber, writeVarint } from "./int64.ts";
import { Reader } from "./reader.ts";
import type { PutRequest, TxnRequest } from "./rpc.ts";

/** InternalRaftRequest.put and .txn, and the tags of these fields. */
const putField = 4;
const putTag = 34;
const txnField = 6;
const txnTag = 50;
/** InternalRaftRequest.header, field 100, as a tag. */
const headerTag = 802;
const headerTagBytes = [0xa2, 0x06] as const;
/** RequestHeader.ID as a tag. */
const idTag = 8;

/** The request's id as two halves of 32 bits, unsigned. Hot: a bigint costs as much as the rest of an entry's header. */
export interface EntryId {
  readonly idLow: number;
  readonly idHigh: number;
}

export interface PutEntry extends EntryId {
  readonly put: PutRequest;
}

export interface TxnEntry extends EntryId {
  readonly txn: TxnRequest;
}

/** The entry of a put that nobody in particular has sent, as long as there are no users. */
export function encodePutEntry({ idLow, idHigh, put }: PutEntry): Uint8Array {
  const size = putRequestSize(put);
  const idSize = idSizeOf(idLow, idHigh);
  const target = newEntry(size, idSize);
  const at = writePutRequest(target, writeFieldStart(target, 0, putField, size), put);
  writeHeader(target, at, idSize, idLow, idHigh);
  return target;
}

/** The same for a transaction. */
export function encodeTxnEntry({ idLow, idHigh, txn }: TxnEntry): Uint8Array {
  const size = txnRequestSize(txn);
  const idSize = idSizeOf(idLow, idHigh);
  const target = newEntry(size, idSize);
  const at = writeTxnRequest(target, writeFieldStart(target, 0, txnField, size), txn);
  writeHeader(target, at, idSize, idLow, idHigh);
  return target;
}

/**
 * The operation of an entry that has exactly the form of those above, undefined for any other: whoever asks then takes
 * the generic codec. Keys and values are views of `bytes`. Throws WireError where the generic codec would.
 */
export function decodeHotEntry(bytes: Uint8Array): PutEntry | TxnEntry | undefined {
  const reader = new Reader(bytes);
  if (bytes.length === 0) return undefined;
  const tag = reader.tag();
  if (tag !== putTag && tag !== txnTag) return undefined;
  const length = reader.length();
  const start = reader.position;
  reader.position = start + length;
  if (!readHeader(reader)) return undefined;
  const { low: idLow, high: idHigh } = reader;
  reader.position = start;
  reader.end = start + length;
  if (tag === putTag) return { idLow, idHigh, put: readPutRequest(reader) };
  return { idLow, idHigh, txn: readTxnRequest(reader, entryNestingLevelsMax - 1) };
}

function newEntry(operationSize: number, idSize: number): Uint8Array {
  return newMessage(sizedFieldSize(operationSize) + headerTagBytes.length + numberSize(idSize) + idSize);
}

/** Bytes of RequestHeader.ID with its tag. */
function idSizeOf(low: number, high: number): number {
  return low === 0 && high === 0 ? 0 : 1 + varintSize(low, high);
}

function writeHeader(target: Uint8Array, offset: number, idSize: number, low: number, high: number): void {
  target[offset] = headerTagBytes[0];
  target[offset + 1] = headerTagBytes[1];
  const at = writeNumber(target, offset + 2, idSize);
  if (idSize === 0) return;
  target[at] = idTag;
  writeVarint(target, at + 1, low, high);
}

/** True where nothing but a header with a request id follows, which is in the reader's halves then. */
function readHeader(reader: Reader): boolean {
  if (reader.position === reader.end || reader.tag() !== headerTag) return false;
  // A header without an id is zero bytes long, and that length leaves zero in the halves.
  if (reader.length() !== reader.end - reader.position) return false;
  if (reader.position === reader.end) return true;
  if (reader.tag() !== idTag) return false;
  reader.halves();
  return reader.position === reader.end;
}
