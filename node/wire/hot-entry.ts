// The log entry of a put by hand: an InternalRaftRequest of which it is the only operation. Same values and bytes as
// the generic codec.

import { newMessage, sizedFieldSize, writeFieldStart } from "./fields.ts";
import { decodePutRequest, putRequestSize, writePutRequest } from "./hot-requests.ts";
import { bigintSize, numberSize, writeBigint, writeNumber } from "./int64.ts";
import { Reader } from "./reader.ts";
import type { PutRequest } from "./rpc.ts";

/** InternalRaftRequest.put, field 4, and InternalRaftRequest.header, field 100, as tags. */
const putTag = 34;
const headerTag = 802;
const headerTagBytes = [0xa2, 0x06] as const;
/** RequestHeader.ID as a tag. */
const idTag = 8;

export interface PutEntry {
  readonly requestId: bigint;
  readonly put: PutRequest;
}

/** The entry of a put that nobody in particular has sent, as long as there are no users. */
export function encodePutEntry({ requestId, put }: PutEntry): Uint8Array {
  const putSize = putRequestSize(put);
  const headerSize = requestId === 0n ? 0 : 1 + bigintSize(requestId);
  const size = sizedFieldSize(putSize) + headerTagBytes.length + numberSize(headerSize) + headerSize;
  const target = newMessage(size);
  let at = writePutRequest(target, writeFieldStart(target, 0, 4, putSize), put);
  target[at++] = headerTagBytes[0];
  target[at++] = headerTagBytes[1];
  at = writeNumber(target, at, headerSize);
  if (requestId !== 0n) {
    target[at++] = idTag;
    writeBigint(target, at, requestId);
  }
  return target;
}

/**
 * The put of an entry that has exactly the form of `encodePutEntry`, undefined for any other: whoever asks then takes
 * the generic codec. Key and value are views of `bytes`. Throws WireError where the generic codec would.
 */
export function decodePutEntry(bytes: Uint8Array): PutEntry | undefined {
  const reader = new Reader(bytes);
  if (bytes.length === 0 || reader.tag() !== putTag) return undefined;
  const putBytes = reader.view();
  if (reader.position === reader.end || reader.tag() !== headerTag) return undefined;
  if (reader.length() !== reader.end - reader.position) return undefined;
  let requestId = 0n;
  if (reader.position < reader.end) {
    if (reader.tag() !== idTag) return undefined;
    requestId = reader.uint64Id();
    if (reader.position < reader.end) return undefined;
  }
  return { requestId, put: decodePutRequest(putBytes) };
}
