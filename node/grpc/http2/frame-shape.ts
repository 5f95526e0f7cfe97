// What a frame's bytes say beyond its head: how much of it is padding, and whether it is the whole body of a request.

import {
  ConnectionError,
  ErrorCode,
  Flag,
  FrameType,
  frameBytesMax,
  frameHeadBytes,
  streamIdMax,
  uint32At,
} from "./protocol.ts";

/** The number of bytes of padding; the byte that says so is not among them. Throws ConnectionError. */
export function paddingOf(bytes: Uint8Array, start: number, end: number): number {
  const padding = end > start ? (bytes[start] as number) : 0;
  if (end === start || padding >= end - start) {
    throw new ConnectionError(ErrorCode.protocolError, `padding of ${padding} bytes in a shorter frame`);
  }
  return padding;
}

/** Where a DATA frame ends that is the whole body of the stream and lies at `at`; zero when there is none. */
export function wholeBodyEnd(bytes: Uint8Array, at: number, streamId: number): number {
  const start = at + frameHeadBytes;
  if (bytes.length < start || bytes[at + 3] !== FrameType.data || bytes[at + 4] !== Flag.endStream) return 0;
  if ((uint32At(bytes, at + 5) & streamIdMax) !== streamId) return 0;
  const length = ((bytes[at] as number) << 16) | ((bytes[at + 1] as number) << 8) | (bytes[at + 2] as number);
  if (length > frameBytesMax || bytes.length - start < length) return 0;
  return start + length;
}
