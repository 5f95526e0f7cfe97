// The answers of the hot calls by hand: sizes first, then one write into a buffer of exactly that size.
// Stored key values and encoded events are spliced in as they are. Same bytes as the generic codec.

import { emptyBytes, utf8 } from "../lib/bytes.ts";
import type { NodeId } from "../lib/ids.ts";
import type { Pieces } from "./codec.ts";
import {
  bytesFieldSizeUnlessEmpty,
  newMessage,
  numberFieldSizeUnlessZero,
  sizedFieldSize,
  varintTag,
  writeBytesField,
  writeBytesFieldUnlessEmpty,
  writeFieldStart,
  writeNumberFieldUnlessZero,
} from "./fields.ts";
import { keyValueSize, writeKeyValue } from "./hot-kv.ts";
import { bigintSize, writeBigint } from "./int64.ts";
import type {
  KeyValue,
  OutgoingDeleteRangeResponse,
  OutgoingEvent,
  OutgoingLeaseKeepAliveResponse,
  OutgoingPutResponse,
  OutgoingRangeResponse,
  OutgoingRangeStreamResponse,
  OutgoingWatchResponse,
  ResponseHeader,
  SharedRangeResponse,
} from "./rpc.ts";

type Spliced<T> = T | Uint8Array;
/** Outgoing headers are plain; only their type allows bytes. */
type Header = Spliced<ResponseHeader> | undefined;

export function encodePutResponse(response: OutgoingPutResponse): Uint8Array {
  const target = newMessage(putResponseSize(response));
  writePutResponse(target, 0, response);
  return target;
}

export function putResponseSize({ header, prevKv }: OutgoingPutResponse): number {
  return headerFieldSize(header) + (prevKv === undefined ? 0 : sizedFieldSize(kvSize(prevKv)));
}

export function writePutResponse(target: Uint8Array, offset: number, response: OutgoingPutResponse): number {
  const at = writeHeaderField(target, offset, response.header);
  return response.prevKv === undefined ? at : writeKvField(target, at, 2, response.prevKv);
}

export function deleteRangeResponseSize({ header, deleted, prevKvs }: OutgoingDeleteRangeResponse): number {
  let size = headerFieldSize(header) + numberFieldSizeUnlessZero(deleted);
  for (const kv of prevKvs) size += sizedFieldSize(kvSize(kv));
  return size;
}

export function writeDeleteRangeResponse(
  target: Uint8Array,
  offset: number,
  response: OutgoingDeleteRangeResponse,
): number {
  let at = writeHeaderField(target, offset, response.header);
  at = writeNumberFieldUnlessZero(target, at, 2, response.deleted);
  for (const kv of response.prevKvs) at = writeKvField(target, at, 3, kv);
  return at;
}

/** Of a range answer that is written whole, shared or not. */
type RangeForm = OutgoingRangeResponse | SharedRangeResponse;

export function encodeRangeResponse(response: RangeForm): Uint8Array {
  const target = newMessage(rangeResponseSize(response));
  writeRangeResponse(target, 0, response);
  return target;
}

/** Answers that are shared and have this size or more are sent in pieces. */
const piecewiseBytesMin = 64 * 1024;

export function rangeResponsePieces(response: RangeForm): Pieces | undefined {
  if (!("shared" in response) || response.shared.size < piecewiseBytesMin) return undefined;
  const { header, shared } = response;
  const head = new Uint8Array(headerFieldSize(header));
  writeHeaderField(head, 0, header);
  const pieces = shared.pieces();
  let isBegun = false;
  return {
    size: head.length + pieces.size,
    next() {
      if (isBegun) return pieces.next();
      isBegun = true;
      return head;
    },
  };
}

export function encodeRangeStreamResponse(response: OutgoingRangeStreamResponse): Uint8Array {
  const part = response.rangeResponse;
  if (part === undefined) return new Uint8Array(0);
  const size = part instanceof Uint8Array ? part.length : rangeResponseSize(part);
  const target = newMessage(sizedFieldSize(size));
  const at = writeFieldStart(target, 0, 1, size);
  if (part instanceof Uint8Array) target.set(part, at);
  else writeRangeResponse(target, at, part);
  return target;
}

/** An event is encoded once and its bytes shared by every watcher that gets it. */
export function encodeEvent(event: OutgoingEvent): Uint8Array {
  const target = new Uint8Array(eventSize(event));
  writeEvent(target, 0, event);
  return target;
}

/** Responses with the same list of encoded events share the encoding of the list. Hot: every watcher passes here. */
export function encodeWatchResponse(response: OutgoingWatchResponse): Uint8Array {
  const reason = response.cancelReason === "" ? emptyBytes : utf8(response.cancelReason);
  const events = encodedEvents(response.events);
  const size =
    headerFieldSize(response.header) +
    idFieldSize(response.watchId) +
    (response.created ? 2 : 0) +
    (response.canceled ? 2 : 0) +
    numberFieldSizeUnlessZero(response.compactRevision) +
    bytesFieldSizeUnlessEmpty(reason) +
    (response.fragment ? 2 : 0) +
    events.length;
  const target = newMessage(size);
  let at = writeHeaderField(target, 0, response.header);
  at = writeIdField(target, at, 2, response.watchId);
  at = writeNumberFieldUnlessZero(target, at, 3, response.created ? 1 : 0);
  at = writeNumberFieldUnlessZero(target, at, 4, response.canceled ? 1 : 0);
  at = writeNumberFieldUnlessZero(target, at, 5, response.compactRevision);
  at = writeBytesFieldUnlessEmpty(target, at, 6, reason);
  at = writeNumberFieldUnlessZero(target, at, 7, response.fragment ? 1 : 0);
  target.set(events, at);
  return target;
}

/** Streams take turns, each with lists of its own, so the last list alone would be forgotten too soon. */
const encodedLists = new WeakMap<OutgoingWatchResponse["events"], Uint8Array>();

/** All fields `events` of a response, one after the other. */
function encodedEvents(events: OutgoingWatchResponse["events"]): Uint8Array {
  const known = encodedLists.get(events);
  if (known !== undefined) return known;
  let size = 0;
  for (const event of events) {
    size += sizedFieldSize(event instanceof Uint8Array ? event.length : eventSize(event));
  }
  const target = new Uint8Array(size);
  let at = 0;
  for (const event of events) {
    if (event instanceof Uint8Array) at = writeBytesField(target, at, 11, event);
    else at = writeEvent(target, writeFieldStart(target, at, 11, eventSize(event)), event);
  }
  // Only lists that nobody changes are met again as the same object.
  encodedLists.set(events, target);
  return target;
}

export function encodeLeaseKeepAliveResponse({
  header,
  ID,
  TTL,
}: OutgoingLeaseKeepAliveResponse): Uint8Array {
  const size = headerFieldSize(header) + idFieldSize(ID) + numberFieldSizeUnlessZero(TTL);
  const target = newMessage(size);
  writeNumberFieldUnlessZero(
    target,
    writeIdField(target, writeHeaderField(target, 0, header), 2, ID),
    3,
    TTL,
  );
  return target;
}

export function rangeResponseSize(response: RangeForm): number {
  if ("shared" in response) return headerFieldSize(response.header) + response.shared.size;
  let size =
    headerFieldSize(response.header) + (response.more ? 2 : 0) + numberFieldSizeUnlessZero(response.count);
  for (const kv of response.kvs) size += sizedFieldSize(kvSize(kv));
  return size;
}

export function writeRangeResponse(target: Uint8Array, offset: number, response: RangeForm): number {
  let at = writeHeaderField(target, offset, response.header);
  if ("shared" in response) return writePieces(target, at, response.shared.pieces());
  for (const kv of response.kvs) at = writeKvField(target, at, 2, kv);
  at = writeNumberFieldUnlessZero(target, at, 3, response.more ? 1 : 0);
  return writeNumberFieldUnlessZero(target, at, 4, response.count);
}

function writePieces(target: Uint8Array, offset: number, pieces: Pieces): number {
  let at = offset;
  for (let piece = pieces.next(); piece !== undefined; piece = pieces.next()) {
    target.set(piece, at);
    at += piece.length;
  }
  return at;
}

function eventSize(event: OutgoingEvent): number {
  const { type, kv, prevKv } = event;
  return (
    numberFieldSizeUnlessZero(type) +
    (kv === undefined ? 0 : sizedFieldSize(kvSize(kv))) +
    (prevKv === undefined ? 0 : sizedFieldSize(kvSize(prevKv)))
  );
}

function writeEvent(target: Uint8Array, offset: number, event: OutgoingEvent): number {
  let at = writeNumberFieldUnlessZero(target, offset, 1, event.type);
  if (event.kv !== undefined) at = writeKvField(target, at, 2, event.kv);
  return event.prevKv === undefined ? at : writeKvField(target, at, 3, event.prevKv);
}

function kvSize(kv: Spliced<KeyValue>): number {
  return kv instanceof Uint8Array ? kv.length : keyValueSize(kv);
}

function writeKvField(target: Uint8Array, offset: number, field: number, kv: Spliced<KeyValue>): number {
  if (kv instanceof Uint8Array) return writeBytesField(target, offset, field, kv);
  return writeKeyValue(target, writeFieldStart(target, offset, field, keyValueSize(kv)), kv);
}

export function headerFieldSize(header: Header): number {
  return header === undefined ? 0 : sizedFieldSize(headerSize(header));
}

function headerSize(header: Spliced<ResponseHeader>): number {
  if (header instanceof Uint8Array) return header.length;
  return (
    idsOf(header).length +
    numberFieldSizeUnlessZero(header.revision) +
    numberFieldSizeUnlessZero(header.raftTerm)
  );
}

export function writeHeaderField(target: Uint8Array, offset: number, header: Header): number {
  if (header === undefined) return offset;
  if (header instanceof Uint8Array) return writeBytesField(target, offset, 1, header);
  const at = writeFieldStart(target, offset, 1, headerSize(header));
  const ids = idsOf(header);
  target.set(ids, at);
  const afterRevision = writeNumberFieldUnlessZero(target, at + ids.length, 3, header.revision);
  return writeNumberFieldUnlessZero(target, afterRevision, 4, header.raftTerm);
}

// Every header of a member carries the same two ids, so their encoding is kept from one header to the next.
let lastClusterId = 0n;
let lastMemberId = 0n as NodeId;
let lastIds = new Uint8Array(0);

/** The first two fields of a header, encoded. */
function idsOf(header: ResponseHeader): Uint8Array {
  const { clusterId, memberId } = header;
  // Inside a transaction's answer headers have no ids.
  if (clusterId === 0n && memberId === 0n) return emptyBytes;
  if (clusterId !== lastClusterId || memberId !== lastMemberId) {
    const ids = new Uint8Array(idFieldSize(clusterId) + idFieldSize(memberId));
    writeIdField(ids, writeIdField(ids, 0, 1, clusterId), 2, memberId);
    lastIds = ids;
    lastClusterId = clusterId;
    lastMemberId = memberId;
  }
  return lastIds;
}

function idFieldSize(id: bigint): number {
  return id === 0n ? 0 : 1 + bigintSize(id);
}

function writeIdField(target: Uint8Array, offset: number, field: number, id: bigint): number {
  if (id === 0n) return offset;
  target[offset] = varintTag(field);
  return writeBigint(target, offset + 1, id);
}
