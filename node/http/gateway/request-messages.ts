// The messages in the body of a request: JSON values one behind the other, read as they come and no further ahead than
// is asked for.

import type { Readable } from "node:stream";
import { ApiError } from "../../api/errors.ts";
import type { JsonMessage } from "../../wire/json-fields.ts";
import { protobufOf } from "../../wire/json-request.ts";
import { JsonScanner } from "../../wire/json-scanner.ts";

/** Each message as protobuf. Throws JsonError, ApiError for one above the limit, and what the body itself throws. */
export async function* messagesOf(
  body: Readable,
  type: JsonMessage,
  jsonBytesMax: number,
): AsyncGenerator<Uint8Array> {
  const scanner = new JsonScanner();
  const held = new HeldBytes();
  try {
    for await (const chunk of body.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array>) {
      let at = 0;
      while (at < chunk.length) {
        const end = scanner.scan(chunk, at);
        if (scanner.isBegun) held.append(chunk.subarray(at, end));
        if (held.length > jsonBytesMax) throw tooLarge(jsonBytesMax);
        if (end === undefined) break;
        yield protobufOf(type, withoutLeadingSpace(held.take()));
        scanner.reset();
        at = end;
      }
    }
    if (scanner.end()) yield protobufOf(type, withoutLeadingSpace(held.take()));
  } finally {
    // What nobody asked for is dropped, so that a connection can go on behind it.
    body.resume();
  }
}

function tooLarge(jsonBytesMax: number): ApiError {
  return new ApiError(
    "ResourceExhausted",
    `etcdserver: a message of more than ${jsonBytesMax} bytes of JSON is too large`,
  );
}

function withoutLeadingSpace(json: Uint8Array): Uint8Array {
  let start = 0;
  while ((json[start] as number) <= 0x20) start++;
  return json.subarray(start);
}

const firstBytes = 1024;

/** Bytes of a value that is not whole. They are copied, so that a body in tiny pieces costs no more than its bytes. */
class HeldBytes {
  #buffer = new Uint8Array(0);
  length = 0;

  append(bytes: Uint8Array): void {
    const length = this.length + bytes.length;
    if (length > this.#buffer.length) {
      const larger = new Uint8Array(Math.max(length, 2 * this.#buffer.length, firstBytes));
      larger.set(this.#buffer.subarray(0, this.length));
      this.#buffer = larger;
    }
    this.#buffer.set(bytes, this.length);
    this.length = length;
  }

  /** All of them; none are held afterwards. */
  take(): Uint8Array {
    const taken = this.#buffer.subarray(0, this.length);
    this.#buffer = new Uint8Array(0);
    this.length = 0;
    return taken;
  }
}
