// A large message goes out in the buffer it was encoded in: its encoder left room in front for the frame's head.

import { frameHeadBytes, roomOf } from "../wire/fields.ts";

/** One byte "not compressed", four bytes of length, the message. */
export function framed(message: Uint8Array): Buffer {
  const room = roomOf(message);
  const frame =
    room === undefined
      ? Buffer.allocUnsafe(frameHeadBytes + message.length)
      : Buffer.from(room.buffer, 0, room.length);
  frame.writeUInt8(0, 0);
  frame.writeUInt32BE(message.length, 1);
  if (room === undefined) frame.set(message, frameHeadBytes);
  return frame;
}
