// The log entries of puts and transactions by hand: an InternalRaftRequest of which they are the only operation. Same
// values and bytes as the generic codec.

import { entryNestingLevelsMax } from "./codec.ts";
import { newMessage, sizedFieldSize, writeFieldStart } from "./fields.ts";
import { putRequestSize, readPutRequest, writePutRequest } from "./hot-requests.ts";
import { readTxnRequest, txnRequestSize, writeTxnRequest } from "./hot-txn.ts";
import { bigintSize, numberSize, writeBigint, writeNumber } from "./int64.ts";
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

export interface PutEntry {
  readonly requestId: bigint;
  readonly put: PutRequest;
}

export interface TxnEntry {
  readonly requestId: bigint;
  readonly txn: TxnRequest;
}

/** The entry of a put that nobody in particular has sent, as long as there are no users. */
export function encodePutEntry({ requestId, put }: PutEntry): Uint8Array {
  const size = putRequestSize(put);
  const target = newEntry(size, requestId);
  writeHeader(target, writePutRequest(target, writeFieldStart(target, 0, putField, size), put), requestId);
  return target;
}

/** The same for a transaction. */
export function encodeTxnEntry({ requestId, txn }: TxnEntry): Uint8Array {
  const size = txnRequestSize(txn);
  const target = newEntry(size, requestId);
  writeHeader(target, writeTxnRequest(target, writeFieldStart(target, 0, txnField, size), txn), requestId);
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
  const requestId = readHeader(reader);
  if (requestId === undefined) return undefined;
  const operation = new Reader(bytes, start, start + length);
  if (tag === putTag) return { requestId, put: readPutRequest(operation) };
  return { requestId, txn: readTxnRequest(operation, entryNestingLevelsMax - 1) };
}

function newEntry(operationSize: number, requestId: bigint): Uint8Array {
  const headerSize = headerSizeOf(requestId);
  return newMessage(
    sizedFieldSize(operationSize) + headerTagBytes.length + numberSize(headerSize) + headerSize,
  );
}

function headerSizeOf(requestId: bigint): number {
  return requestId === 0n ? 0 : 1 + bigintSize(requestId);
}

function writeHeader(target: Uint8Array, offset: number, requestId: bigint): void {
  target[offset] = headerTagBytes[0];
  target[offset + 1] = headerTagBytes[1];
  const at = writeNumber(target, offset + 2, headerSizeOf(requestId));
  if (requestId === 0n) return;
  target[at] = idTag;
  writeBigint(target, at + 1, requestId);
}

/** The request id where nothing but it follows, undefined otherwise. */
function readHeader(reader: Reader): bigint | undefined {
  if (reader.position === reader.end || reader.tag() !== headerTag) return undefined;
  if (reader.length() !== reader.end - reader.position) return undefined;
  if (reader.position === reader.end) return 0n;
  if (reader.tag() !== idTag) return undefined;
  const requestId = reader.uint64Id();
  return reader.position < reader.end ? undefined : requestId;
}
