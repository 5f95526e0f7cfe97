// A large message goes out in the buffer it was encoded in. grpc-js copies every message into a frame of its own,
// which for a large range is another copy of the whole answer; it has no option for that, so the one method that
// does it is replaced. The tests over sockets hold this to the pinned version.

import { BaseServerInterceptingCall } from "@grpc/grpc-js/build/src/server-interceptors.js";
import { assert } from "../lib/assert.ts";
import { frameHeadBytes, roomOf } from "../wire/fields.ts";

interface Serializing {
  readonly handler: { serialize(value: unknown): Buffer };
  serializeMessage(value: unknown): Buffer;
}

/** For all servers of the process; what else they send is framed as before. */
export function frameInPlace(): void {
  const prototype = BaseServerInterceptingCall.prototype as unknown as Serializing;
  assert(typeof prototype.serializeMessage === "function", "grpc-js frames messages in this method");
  prototype.serializeMessage = function serializeMessage(value) {
    return framed(this.handler.serialize(value));
  };
}

/** One byte "not compressed", four bytes of length, the message. */
export function framed(message: Buffer): Buffer {
  const room = roomOf(message);
  const frame =
    room === undefined
      ? Buffer.allocUnsafe(frameHeadBytes + message.length)
      : Buffer.from(room.buffer, 0, room.length);
  frame.writeUInt8(0, 0);
  frame.writeUInt32BE(message.length, 1);
  if (room === undefined) message.copy(frame, frameHeadBytes);
  return frame;
}
