// Size and SHA-256 of bytes on their way.

import { createHash } from "node:crypto";

export interface Digest {
  readonly sizeBytes: number;
  /** Lower-case hexadecimal. */
  readonly sha256: string;
}

export class DigestOf {
  readonly #sha = createHash("sha256");
  #sizeBytes = 0;

  /** The same pieces, counted. */
  async *through(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const piece of pieces) {
      this.#sha.update(piece);
      this.#sizeBytes += piece.length;
      yield piece;
    }
  }

  /** Once, when all pieces have gone through. */
  result(): Digest {
    return { sizeBytes: this.#sizeBytes, sha256: this.#sha.digest("hex") };
  }
}

export async function digestOf(pieces: AsyncIterable<Uint8Array>): Promise<Digest> {
  const digest = new DigestOf();
  for await (const _ of digest.through(pieces));
  return digest.result();
}
