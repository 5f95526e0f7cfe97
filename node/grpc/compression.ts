// Compressed messages: gzip, as a Go server has it, inflated under a bound.

import { constants, gunzipSync, gzipSync } from "node:zlib";
import { ApiError } from "../api/errors.ts";

/** Answers above this go out as they are, also to clients that compress: their call would hold up all others. */
const deflatedBytesMax = 1024 * 1024;

export function isKnownEncoding(encoding: string): boolean {
  return encoding === "identity" || encoding === "" || encoding === "gzip";
}

export function unknownEncoding(encoding: string): ApiError {
  return new ApiError(
    "Unimplemented",
    `grpc: Decompressor is not installed for grpc-encoding ${JSON.stringify(encoding)}`,
  );
}

/** Throws ApiError. */
export function inflate(message: Uint8Array, encoding: string, bytesMax: number): Uint8Array {
  if (encoding !== "gzip") {
    throw new ApiError("Internal", "grpc: compressed flag set with identity or empty encoding");
  }
  try {
    return gunzipSync(message, { maxOutputLength: bytesMax });
  } catch (error) {
    const { code, message: text } = error as NodeJS.ErrnoException;
    if (code === "ERR_BUFFER_TOO_LARGE") {
      throw new ApiError(
        "ResourceExhausted",
        `grpc: received message after decompression larger than max ${bytesMax}`,
      );
    }
    throw new ApiError("Internal", `grpc: failed to decompress the message: ${text}`);
  }
}

/** The message as it goes out: whether it is compressed, and its bytes. */
export function deflate(message: Uint8Array): { readonly isCompressed: boolean; readonly bytes: Uint8Array } {
  if (message.length > deflatedBytesMax) return { isCompressed: false, bytes: message };
  return { isCompressed: true, bytes: gzipSync(message, { level: constants.Z_BEST_SPEED }) };
}
