// The two messages that wrap a lease's time to live between members: each holds one message as field 1.

import type { Codec } from "../wire/codec.ts";
import { sizedFieldSize, writeBytesField } from "../wire/fields.ts";
import { Reader, skipBeyond } from "../wire/reader.ts";

const wrappedTag = 10;

export function wrap(bytes: Uint8Array): Uint8Array {
  const target = new Uint8Array(sizedFieldSize(bytes.length));
  writeBytesField(target, 0, 1, bytes);
  return target;
}

/** Throws WireError. Undefined when nothing is wrapped. */
export function unwrap<T>(bytes: Uint8Array, codec: Pick<Codec<T, never>, "decode">): T | undefined {
  const reader = new Reader(bytes);
  let wrapped: Uint8Array | undefined;
  while (reader.position < reader.end) {
    const tag = reader.tag();
    if (tag === wrappedTag) wrapped = reader.view();
    else skipBeyond(reader, tag, 1);
  }
  return wrapped === undefined ? undefined : codec.decode(wrapped);
}
