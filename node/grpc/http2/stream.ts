// One stream of a connection, for calls that outlive the bytes that brought them.

/** Who answers on a stream. */
export interface StreamOwner {
  /** Bytes [start, end) of the body; `isLast`: `onEnd` follows. They stay as they are, but keep a large block alive. */
  onData(bytes: Uint8Array, start: number, end: number, isLast: boolean): void;
  /** The client is done sending. */
  onEnd(): void;
  /** The client reset the stream, or the connection is gone: nothing more can be said. */
  onReset(): void;
  /** What was queued has left down to `lowWaterBytes`. */
  onRoom(): void;
  /** The connection holds more unread bytes than it may; this stream must give its bytes up and end. */
  onOverload(): void;
}

/** Body bytes that are made when their turn comes. */
export interface Source {
  /** Of all pieces together. */
  readonly size: number;
  next(): Uint8Array | undefined;
  /** Runs when all pieces were made, or none is wanted any more. */
  readonly onGone: (() => void) | undefined;
}

/** A queue of this much or less has room for more. */
export const lowWaterBytes = 64 * 1024;

export class Stream {
  readonly id: number;
  readonly owner: StreamOwner;
  /** The client may still send. */
  isRemoteOpen: boolean;
  /** We may still send. */
  isLocalOpen = true;
  /** The answer has begun. */
  isAnswered = false;
  /** Body bytes announced by content-length and not received yet; undefined when none were announced. */
  bodyBytesLeft: number | undefined;

  /** What the client lets us send. May be negative after a change of settings. */
  sendWindow: number;
  /** Made when something has to wait, which is rare. */
  queue: Uint8Array[] | undefined;
  /** Bytes of the first item that have left. */
  queueOffset = 0;
  queuedBytes = 0;
  /** What comes behind the queue, and its bytes that were not made yet. */
  source: Source | undefined;
  sourceBytes = 0;
  /** What follows the queue: the last block of the stream. */
  trailers: readonly string[] | undefined;
  isScheduled = false;

  /** What the client may still send. */
  receiveWindow: number;
  /** Received bytes for which no new window was given. */
  owedBytes = 0;
  /** Received bytes that the owner keeps. */
  heldBytes = 0;
  isStarving = false;

  constructor(options: {
    readonly id: number;
    readonly owner: StreamOwner;
    readonly isRemoteOpen: boolean;
    readonly sendWindow: number;
    readonly receiveWindow: number;
    readonly bodyBytes: number | undefined;
  }) {
    this.id = options.id;
    this.owner = options.owner;
    this.isRemoteOpen = options.isRemoteOpen;
    this.sendWindow = options.sendWindow;
    this.receiveWindow = options.receiveWindow;
    this.bodyBytesLeft = options.bodyBytes;
  }
}
