// The messages in the body of a request: JSON values one behind the other, read as they come and no further ahead than
// is asked for.

import type { Readable } from "node:stream";
import { ApiError, apiError } from "../../api/errors.ts";
import type { JsonMessage } from "../../wire/json-fields.ts";
import { protobufOf } from "../../wire/json-request.ts";
import { JsonScanner } from "../../wire/json-scanner.ts";

export interface MessageLimits {
  readonly jsonBytesMax: number;
  /** How long a message may take from its first byte to its last. */
  readonly patienceMs: number;
  /** Shared by all bodies that are being read. */
  readonly room: Room;
}

/** Memory for messages that are not whole yet. */
export class Room {
  #freeBytes: number;

  constructor(bytes: number) {
    this.#freeBytes = bytes;
  }

  /** False: there is none. */
  take(bytes: number): boolean {
    if (bytes > this.#freeBytes) return false;
    this.#freeBytes -= bytes;
    return true;
  }

  give(bytes: number): void {
    this.#freeBytes += bytes;
  }
}

/**
 * Each message as protobuf. `isFirstDue`: the first may not take longer to begin, either. Throws JsonError, ApiError
 * beyond the limits, and what the body itself throws.
 */
export async function* messagesOf(
  body: Readable,
  type: JsonMessage,
  limits: MessageLimits,
  { isFirstDue }: { readonly isFirstDue: boolean },
): AsyncGenerator<Uint8Array> {
  const scanner = new JsonScanner();
  const held = new HeldBytes(limits.room);
  const chunks = body.iterator({ destroyOnReturn: false }) as AsyncIterator<Uint8Array>;
  let dueMs = isFirstDue ? performance.now() + limits.patienceMs : undefined;
  try {
    for (;;) {
      const next = await inTime(chunks.next(), dueMs);
      if (next.done === true) break;
      const chunk = next.value;
      for (let at = 0; at < chunk.length; ) {
        const end = scanner.scan(chunk, at);
        if (end === undefined) {
          if (!scanner.isBegun) break;
          dueMs ??= performance.now() + limits.patienceMs;
          held.append(chunk.subarray(at));
          if (held.length > limits.jsonBytesMax) throw tooLarge(limits.jsonBytesMax);
          break;
        }
        yield protobufOf(type, withoutLeadingSpace(held.takeWith(chunk.subarray(at, end))));
        scanner.reset();
        dueMs = undefined;
        at = end;
      }
    }
    if (scanner.end()) yield protobufOf(type, withoutLeadingSpace(held.takeWith(noBytes)));
  } finally {
    held.clear();
    // What nobody asked for is dropped, so that a connection can go on behind it.
    body.resume();
  }
}

const noBytes = new Uint8Array(0);

/** Rejects at `dueMs` with an ApiError. */
async function inTime<T>(work: Promise<T>, dueMs: number | undefined): Promise<T> {
  if (dueMs === undefined) return work;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    const error = new ApiError("DeadlineExceeded", "etcdserver: the body of the request took too long");
    timer = setTimeout(() => reject(error), Math.max(0, dueMs - performance.now()));
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
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
  readonly #room: Room;
  #buffer = noBytes;
  length = 0;

  constructor(room: Room) {
    this.#room = room;
  }

  /** Throws ApiError when there is no room. */
  append(bytes: Uint8Array): void {
    const length = this.length + bytes.length;
    if (length > this.#buffer.length) this.#grow(Math.max(length, 2 * this.#buffer.length, firstBytes));
    this.#buffer.set(bytes, this.length);
    this.length = length;
  }

  /** All of them with `last` behind; none are held afterwards. */
  takeWith(last: Uint8Array): Uint8Array {
    if (this.length === 0) return last;
    this.append(last);
    const taken = this.#buffer.subarray(0, this.length);
    this.clear();
    return taken;
  }

  clear(): void {
    this.#room.give(this.#buffer.length);
    this.#buffer = noBytes;
    this.length = 0;
  }

  #grow(bytes: number): void {
    if (!this.#room.take(bytes - this.#buffer.length)) throw apiError("tooManyRequests");
    const larger = new Uint8Array(bytes);
    larger.set(this.#buffer.subarray(0, this.length));
    this.#buffer = larger;
  }
}
