/** Bytes that are not the message they should be. The text says where and what was expected there. */
export class WireError extends Error {
  override readonly name = "WireError";
  /** Position in the bytes that were handed to the decoder. */
  readonly offset: number;
  readonly expectation: string;

  constructor(offset: number, expectation: string) {
    super(`malformed message: expected ${expectation} at byte ${offset}`);
    this.offset = offset;
    this.expectation = expectation;
  }
}
