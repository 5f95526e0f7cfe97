// What clients may send. The connection's window is given back at once; what bounds memory are the windows of the
// streams. While much is held for unfinished requests, only one of them gets more at a time, so that it ends.

import { initialWindowBytes } from "./protocol.ts";
import type { Stream } from "./stream.ts";

export const connectionWindowBytes = 4 * 1024 * 1024;
export const streamWindowBytes = 256 * 1024;
/** Above this, windows are given to one stream at a time. */
const heldBytesSoftMax = 16 * 1024 * 1024;
/** Above this, the stream that brought the bytes ends. */
const heldBytesMax = 128 * 1024 * 1024;

export type SendWindowUpdate = (streamId: number, bytes: number) => void;

export class ReceiveWindows {
  readonly #send: SendWindowUpdate;
  #owedBytes = 0;
  #heldBytes = 0;
  #starving: Stream[] = [];
  /** The one stream that gets more while much is held. */
  #favourite: Stream | undefined;
  #connectionWindow = connectionWindowBytes;

  constructor(send: SendWindowUpdate) {
    this.#send = send;
  }

  /** The client's window begins as the protocol says; this makes it ours. */
  open(): void {
    this.#send(0, connectionWindowBytes - initialWindowBytes);
  }

  /** A DATA frame of so many bytes came, padding included. False when the client had no window for it. Hot. */
  onConnectionBytes(bytes: number): boolean {
    this.#connectionWindow -= bytes;
    if (this.#connectionWindow < 0) return false;
    this.#owedBytes += bytes;
    if (this.#owedBytes >= connectionWindowBytes / 2) {
      this.#send(0, this.#owedBytes);
      this.#connectionWindow += this.#owedBytes;
      this.#owedBytes = 0;
    }
    return true;
  }

  /** False when the stream had no window for so many bytes. */
  onStreamBytes(stream: Stream, bytes: number): boolean {
    stream.receiveWindow -= bytes;
    stream.owedBytes += bytes;
    return stream.receiveWindow >= 0;
  }

  /** The stream's owner keeps so many bytes more. False when that is more than a connection may hold. */
  hold(stream: Stream, bytes: number): boolean {
    stream.heldBytes += bytes;
    this.#heldBytes += bytes;
    return this.#heldBytes <= heldBytesMax;
  }

  release(stream: Stream, bytes: number): void {
    stream.heldBytes -= bytes;
    this.#heldBytes -= bytes;
    if (stream === this.#favourite && stream.heldBytes === 0) this.#favourite = undefined;
    this.#feed();
  }

  /** The owner can take more: gives the window back, in large steps. */
  grant(stream: Stream): void {
    if (!stream.isRemoteOpen || stream.isStarving || stream.owedBytes < streamWindowBytes / 2) return;
    if (this.#heldBytes > heldBytesSoftMax && stream !== this.#favourite) {
      stream.isStarving = true;
      this.#starving.push(stream);
      this.#feed();
      return;
    }
    this.#give(stream);
  }

  /** The stream is over. */
  forget(stream: Stream): void {
    stream.isRemoteOpen = false;
    if (stream === this.#favourite) this.#favourite = undefined;
    if (stream.heldBytes > 0) this.release(stream, stream.heldBytes);
    else this.#feed();
  }

  #feed(): void {
    while (this.#starving.length > 0) {
      if (this.#heldBytes > heldBytesSoftMax && this.#favourite !== undefined) return;
      const stream = this.#starving.shift() as Stream;
      stream.isStarving = false;
      if (!stream.isRemoteOpen) continue;
      if (this.#heldBytes > heldBytesSoftMax) this.#favourite = stream;
      this.#give(stream);
    }
  }

  #give(stream: Stream): void {
    this.#send(stream.id, stream.owedBytes);
    stream.receiveWindow += stream.owedBytes;
    stream.owedBytes = 0;
  }
}
