// Transactions by hand: the request as it arrives and as it enters the log, and the answer. Same values and bytes as
// the generic codec, and the same bound on nesting.

import { emptyBytes } from "../lib/bytes.ts";
import type { LeaseId } from "../lib/ids.ts";
import { nestingLevelsMax } from "./codec.ts";
import { WireError } from "./error.ts";
import {
  bytesFieldSizeUnlessEmpty,
  newMessage,
  numberFieldSizeUnlessZero,
  sizedFieldSize,
  varintTag,
  writeBytesField,
  writeBytesFieldUnlessEmpty,
  writeFieldStart,
  writeNumberField,
  writeNumberFieldUnlessZero,
} from "./fields.ts";
import {
  putRequestSize,
  rangeRequestSize,
  readPutRequest,
  readRangeRequest,
  writePutRequest,
  writeRangeRequest,
} from "./hot-requests.ts";
import {
  deleteRangeResponseSize,
  headerFieldSize,
  putResponseSize,
  rangeResponseSize,
  writeDeleteRangeResponse,
  writeHeaderField,
  writePutResponse,
  writeRangeResponse,
} from "./hot-responses.ts";
import { bigintSize, numberSize, writeBigint } from "./int64.ts";
import { Reader, skipBeyond } from "./reader.ts";
import type {
  Compare,
  DeleteRangeRequest,
  OutgoingDeleteRangeResponse,
  OutgoingPutResponse,
  OutgoingRangeResponse,
  OutgoingResponseOp,
  OutgoingTxnResponse,
  RequestOp,
  TxnRequest,
} from "./rpc.ts";

const noCompares: readonly Compare[] = Object.freeze([]);
const noOps: readonly RequestOp[] = Object.freeze([]);

/** Compare.range_end, field 64: its tag takes two bytes. */
const rangeEndTag = 514;
const rangeEndTagBytes = [0x82, 0x04] as const;

/** Keys and values are views of `bytes`. Throws WireError. */
export function decodeTxnRequest(bytes: Uint8Array): TxnRequest {
  return readTxnRequest(new Reader(bytes), nestingLevelsMax);
}

/** `levels` is how many messages within messages may follow. */
export function readTxnRequest(reader: Reader, levels: number): TxnRequest {
  let compare = noCompares as Compare[];
  let success = noOps as RequestOp[];
  let failure = noOps as RequestOp[];
  while (reader.position < reader.end) {
    const tag = reader.tag();
    switch (tag) {
      case 10: {
        const outerEnd = enter(reader, levels);
        const one = readCompare(reader);
        reader.end = outerEnd;
        if (compare === noCompares) compare = [one];
        else compare.push(one);
        break;
      }
      case 18: {
        const op = readOpField(reader, levels);
        if (success === noOps) success = [op];
        else success.push(op);
        break;
      }
      case 26: {
        const op = readOpField(reader, levels);
        if (failure === noOps) failure = [op];
        else failure.push(op);
        break;
      }
      default:
        skipBeyond(reader, tag, 3);
    }
  }
  return { compare, success, failure };
}

/** Moves the reader's end to that of a sub-message; answers where it was. */
function enter(reader: Reader, levels: number): number {
  if (levels === 0) throw new WireError(reader.position, "fewer levels of nested messages");
  const length = reader.length();
  const outerEnd = reader.end;
  reader.end = reader.position + length;
  return outerEnd;
}

function readOpField(reader: Reader, levels: number): RequestOp {
  const outerEnd = enter(reader, levels);
  let request: RequestOp["request"];
  while (reader.position < reader.end) {
    const tag = reader.tag();
    if (tag !== 10 && tag !== 18 && tag !== 26 && tag !== 34) {
      skipBeyond(reader, tag, 4);
      continue;
    }
    const opEnd = enter(reader, levels - 1);
    if (tag === 10) request = { case: "requestRange", value: readRangeRequest(reader) };
    else if (tag === 18) request = { case: "requestPut", value: readPutRequest(reader) };
    else if (tag === 26) request = { case: "requestDeleteRange", value: readDeleteRange(reader) };
    else request = { case: "requestTxn", value: readTxnRequest(reader, levels - 2) };
    reader.end = opEnd;
  }
  reader.end = outerEnd;
  return { request };
}

function readDeleteRange(reader: Reader): DeleteRangeRequest {
  let key = emptyBytes;
  let rangeEnd = emptyBytes;
  let prevKv = false;
  while (reader.position < reader.end) {
    const tag = reader.tag();
    if (tag === 10) key = reader.view();
    else if (tag === 18) rangeEnd = reader.view();
    else if (tag === 24) prevKv = reader.bool();
    else skipBeyond(reader, tag, 3);
  }
  return { key, rangeEnd, prevKv };
}

function readCompare(reader: Reader): Compare {
  let result = 0;
  let target = 0;
  let key = emptyBytes;
  let targetUnion: Compare["targetUnion"];
  let rangeEnd = emptyBytes;
  while (reader.position < reader.end) {
    const start = reader.position;
    const tag = reader.tag();
    switch (tag) {
      case 8:
        result = reader.int32();
        break;
      case 16:
        target = reader.int32();
        break;
      case 26:
        key = reader.view();
        break;
      case 32:
        targetUnion = { case: "version", value: reader.int64() };
        break;
      case 40:
        targetUnion = { case: "createRevision", value: reader.int64() };
        break;
      case 48:
        targetUnion = { case: "modRevision", value: reader.int64() };
        break;
      case 58:
        targetUnion = { case: "value", value: reader.view() };
        break;
      case 64:
        targetUnion = { case: "lease", value: reader.int64Id() as LeaseId };
        break;
      case rangeEndTag:
        rangeEnd = reader.view();
        break;
      default:
        if (tag >>> 3 === 64) throw new WireError(start, "the wire type of field 64");
        skipBeyond(reader, tag, 8);
    }
  }
  return { result, target, key, targetUnion, rangeEnd };
}

export function encodeTxnRequest(request: TxnRequest): Uint8Array {
  const target = newMessage(txnRequestSize(request));
  writeTxnRequest(target, 0, request);
  return target;
}

export function txnRequestSize({ compare, success, failure }: TxnRequest): number {
  let size = 0;
  for (const one of compare) size += sizedFieldSize(compareSize(one));
  for (const op of success) size += sizedFieldSize(opSize(op));
  for (const op of failure) size += sizedFieldSize(opSize(op));
  return size;
}

export function writeTxnRequest(target: Uint8Array, offset: number, request: TxnRequest): number {
  let at = offset;
  for (const one of request.compare) {
    at = writeCompare(target, writeFieldStart(target, at, 1, compareSize(one)), one);
  }
  for (const op of request.success) at = writeOp(target, writeFieldStart(target, at, 2, opSize(op)), op);
  for (const op of request.failure) at = writeOp(target, writeFieldStart(target, at, 3, opSize(op)), op);
  return at;
}

function compareSize({ result, target, key, targetUnion, rangeEnd }: Compare): number {
  return (
    numberFieldSizeUnlessZero(result) +
    numberFieldSizeUnlessZero(target) +
    bytesFieldSizeUnlessEmpty(key) +
    operandSize(targetUnion) +
    (rangeEnd.length === 0 ? 0 : rangeEndTagBytes.length + numberSize(rangeEnd.length) + rangeEnd.length)
  );
}

/** A chosen operand is written even when it is zero. */
function operandSize(operand: Compare["targetUnion"]): number {
  if (operand === undefined) return 0;
  if (operand.case === "value") return sizedFieldSize(operand.value.length);
  return 1 + (operand.case === "lease" ? bigintSize(operand.value) : numberSize(operand.value));
}

function writeCompare(target: Uint8Array, offset: number, compare: Compare): number {
  let at = writeNumberFieldUnlessZero(target, offset, 1, compare.result);
  at = writeNumberFieldUnlessZero(target, at, 2, compare.target);
  at = writeBytesFieldUnlessEmpty(target, at, 3, compare.key);
  at = writeOperand(target, at, compare.targetUnion);
  const { rangeEnd } = compare;
  if (rangeEnd.length === 0) return at;
  target[at] = rangeEndTagBytes[0];
  // The field's start as for field 0, whose tag the second byte of the real one replaces.
  const start = writeFieldStart(target, at + 1, 0, rangeEnd.length);
  target[at + 1] = rangeEndTagBytes[1];
  target.set(rangeEnd, start);
  return start + rangeEnd.length;
}

function writeOperand(target: Uint8Array, offset: number, operand: Compare["targetUnion"]): number {
  switch (operand?.case) {
    case undefined:
      return offset;
    case "version":
      return writeNumberField(target, offset, 4, operand.value);
    case "createRevision":
      return writeNumberField(target, offset, 5, operand.value);
    case "modRevision":
      return writeNumberField(target, offset, 6, operand.value);
    case "value":
      return writeBytesField(target, offset, 7, operand.value);
    case "lease":
      target[offset] = varintTag(8);
      return writeBigint(target, offset + 1, operand.value);
  }
}

function opSize({ request }: RequestOp): number {
  return request === undefined ? 0 : sizedFieldSize(innerSize(request));
}

function innerSize(request: NonNullable<RequestOp["request"]>): number {
  switch (request.case) {
    case "requestRange":
      return rangeRequestSize(request.value);
    case "requestPut":
      return putRequestSize(request.value);
    case "requestDeleteRange":
      return deleteRangeSize(request.value);
    case "requestTxn":
      return txnRequestSize(request.value);
  }
}

function writeOp(target: Uint8Array, offset: number, { request }: RequestOp): number {
  if (request === undefined) return offset;
  const size = innerSize(request);
  switch (request.case) {
    case "requestRange":
      return writeRangeRequest(target, writeFieldStart(target, offset, 1, size), request.value);
    case "requestPut":
      return writePutRequest(target, writeFieldStart(target, offset, 2, size), request.value);
    case "requestDeleteRange":
      return writeDeleteRange(target, writeFieldStart(target, offset, 3, size), request.value);
    case "requestTxn":
      return writeTxnRequest(target, writeFieldStart(target, offset, 4, size), request.value);
  }
}

function deleteRangeSize({ key, rangeEnd, prevKv }: DeleteRangeRequest): number {
  return bytesFieldSizeUnlessEmpty(key) + bytesFieldSizeUnlessEmpty(rangeEnd) + (prevKv ? 2 : 0);
}

function writeDeleteRange(target: Uint8Array, offset: number, request: DeleteRangeRequest): number {
  let at = writeBytesFieldUnlessEmpty(target, offset, 1, request.key);
  at = writeBytesFieldUnlessEmpty(target, at, 2, request.rangeEnd);
  return writeNumberFieldUnlessZero(target, at, 3, request.prevKv ? 1 : 0);
}

export function encodeTxnResponse(response: OutgoingTxnResponse): Uint8Array {
  const target = newMessage(txnResponseSize(response));
  writeTxnResponse(target, 0, response);
  return target;
}

export function txnResponseSize({ header, succeeded, responses }: OutgoingTxnResponse): number {
  let size = headerFieldSize(header) + (succeeded ? 2 : 0);
  for (const op of responses) size += sizedFieldSize(responseOpSize(op));
  return size;
}

export function writeTxnResponse(target: Uint8Array, offset: number, response: OutgoingTxnResponse): number {
  let at = writeHeaderField(target, offset, response.header);
  at = writeNumberFieldUnlessZero(target, at, 2, response.succeeded ? 1 : 0);
  for (const op of response.responses) {
    at = writeResponseOp(target, writeFieldStart(target, at, 3, responseOpSize(op)), op);
  }
  return at;
}

type ResponseOp = OutgoingResponseOp | Uint8Array;

function responseOpSize(op: ResponseOp): number {
  if (op instanceof Uint8Array) return op.length;
  return op.response === undefined ? 0 : sizedFieldSize(innerResponseSize(op.response));
}

function innerResponseSize(response: NonNullable<OutgoingResponseOp["response"]>): number {
  const { value } = response;
  if (value instanceof Uint8Array) return value.length;
  switch (response.case) {
    case "responseRange":
      return rangeResponseSize(value as OutgoingRangeResponse);
    case "responsePut":
      return putResponseSize(value as OutgoingPutResponse);
    case "responseDeleteRange":
      return deleteRangeResponseSize(value as OutgoingDeleteRangeResponse);
    case "responseTxn":
      return txnResponseSize(value as OutgoingTxnResponse);
  }
}

function writeResponseOp(target: Uint8Array, offset: number, op: ResponseOp): number {
  if (op instanceof Uint8Array) {
    target.set(op, offset);
    return offset + op.length;
  }
  const { response } = op;
  if (response === undefined) return offset;
  const { value } = response;
  const at = writeFieldStart(target, offset, responseFields[response.case], innerResponseSize(response));
  if (value instanceof Uint8Array) {
    target.set(value, at);
    return at + value.length;
  }
  switch (response.case) {
    case "responseRange":
      return writeRangeResponse(target, at, value as OutgoingRangeResponse);
    case "responsePut":
      return writePutResponse(target, at, value as OutgoingPutResponse);
    case "responseDeleteRange":
      return writeDeleteRangeResponse(target, at, value as OutgoingDeleteRangeResponse);
    case "responseTxn":
      return writeTxnResponse(target, at, value as OutgoingTxnResponse);
  }
}

const responseFields = { responseRange: 1, responsePut: 2, responseDeleteRange: 3, responseTxn: 4 } as const;
