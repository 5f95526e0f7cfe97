// The sending half of a connection: frames into the output, bodies as far as the windows go, fair between streams.

import { HpackEncoder } from "./hpack-encoder.ts";
import { Output } from "./output.ts";
import {
  ConnectionError,
  ErrorCode,
  Flag,
  FrameType,
  frameBytesMax,
  initialWindowBytes,
  windowBytesMax,
  writeFrameHead,
  writeUint32,
} from "./protocol.ts";
import { lowWaterBytes, type Source, type Stream } from "./stream.ts";

/** gRPC puts a byte for "compressed" and four bytes of length in front of a message. */
const messageHeadBytes = 5;
const frameHead = 9;
/** Body bytes that go out in one turn: enough to fill a socket, little enough to stay prompt. */
const turnBytesMax = 256 * 1024;

/** Trailers of an answer without an error; their block is the same every time. */
export const okTrailers: readonly string[] = ["grpc-status", "0"];

export interface SenderOptions {
  /** There is something to write; it is asked for with `take`, soon. */
  readonly onDirty: () => void;
  /** The last frame of the stream was written. */
  readonly onSent: (stream: Stream) => void;
}

/** How a message is written into bytes that are there already. */
export interface MessageWriter<T> {
  writeTo(target: Uint8Array, offset: number, message: T): number;
}

export class Sender {
  readonly encoder = new HpackEncoder();
  readonly output = new Output();
  readonly #options: SenderOptions;
  /** What the client lets us send on all streams together. */
  #window = initialWindowBytes;
  #initialWindow = initialWindowBytes;
  /** Streams that could send, in turn. Those before `#first` had theirs. */
  #scheduled: Stream[] = [];
  #first = 0;
  /** Bytes queued on streams: answers that wait for a window or for the socket. */
  queuedBytes = 0;
  /** True while the socket does not take more: bodies wait, control frames do not. */
  isCongested = false;

  constructor(options: SenderOptions) {
    this.#options = options;
  }

  /** The window a new stream begins with. */
  get initialWindow(): number {
    return this.#initialWindow;
  }

  /** True when bodies are left that could go out now, but for the bound of a turn. */
  get hasMore(): boolean {
    return this.#first < this.#scheduled.length && this.#window > 0 && !this.isCongested;
  }

  frame(type: number, flags: number, streamId: number, payload: Uint8Array): void {
    this.output.frame(type, flags, streamId, payload);
    this.#options.onDirty();
  }

  uint32Frame(type: number, streamId: number, value: number): void {
    const { output } = this;
    const at = output.reserve(frameHead + 4);
    writeUint32(output.target, writeFrameHead(output.target, at, 4, type, 0, streamId), value);
    this.#options.onDirty();
  }

  headers(streamId: number, block: Uint8Array, isEnd: boolean): void {
    const flags = Flag.endHeaders | (isEnd ? Flag.endStream : 0);
    if (block.length <= frameBytesMax) {
      this.frame(FrameType.headers, flags, streamId, block);
      return;
    }
    this.frame(FrameType.headers, flags & ~Flag.endHeaders, streamId, block.subarray(0, frameBytesMax));
    for (let at = frameBytesMax; at < block.length; at += frameBytesMax) {
      const part = block.subarray(at, at + frameBytesMax);
      const isLast = at + frameBytesMax >= block.length;
      this.frame(FrameType.continuation, isLast ? Flag.endHeaders : 0, streamId, part);
    }
  }

  /** A whole gRPC answer of one message at once, where the windows have room; false where they have not. */
  unary(streamId: number, streamWindow: number, message: Uint8Array): boolean {
    const at = this.unaryRoom(streamId, streamWindow, message.length);
    if (at < 0) return false;
    this.output.target.set(message, at);
    return true;
  }

  /**
   * The same but for the message itself, which goes into the output's target at the returned offset, before anything
   * else is sent; -1 where there is no room. Hot: a unary call answered here needs no stream.
   */
  unaryRoom(streamId: number, streamWindow: number, messageBytes: number): number {
    const bodyBytes = messageHeadBytes + messageBytes;
    const isRoomy = bodyBytes <= this.#window && bodyBytes <= streamWindow && bodyBytes <= frameBytesMax;
    if (!isRoomy || this.isCongested || this.#first < this.#scheduled.length) return -1;
    this.#window -= bodyBytes;
    const head = this.encoder.grpcHead();
    const trailers = this.encoder.okTrailers();
    const { output } = this;
    let at = output.reserve(3 * frameHead + head.length + bodyBytes + trailers.length);
    const { target } = output;
    at = writeFrameHead(target, at, head.length, FrameType.headers, Flag.endHeaders, streamId);
    for (let i = 0; i < head.length; i++) target[at + i] = head[i] as number;
    at = writeFrameHead(target, at + head.length, bodyBytes, FrameType.data, 0, streamId);
    const messageAt = writeMessageHead(target, at, messageBytes);
    at = messageAt + messageBytes;
    const flags = Flag.endHeaders | Flag.endStream;
    at = writeFrameHead(target, at, trailers.length, FrameType.headers, flags, streamId);
    for (let i = 0; i < trailers.length; i++) target[at + i] = trailers[i] as number;
    this.#options.onDirty();
    return messageAt;
  }

  /** Queues body bytes, which must stay as they are until they have left. */
  body(stream: Stream, bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    stream.queue ??= [];
    stream.queue.push(bytes);
    stream.queuedBytes += bytes.length;
    this.queuedBytes += bytes.length;
    this.#schedule(stream);
  }

  /** Queues a body that is made piece by piece, while it leaves. Nothing is queued behind it but the end. */
  bodyFrom(stream: Stream, source: Source): void {
    stream.source = source;
    stream.sourceBytes = source.size;
    this.queuedBytes += source.size;
    this.#fill(stream);
    this.#schedule(stream);
  }

  /** The last block of the stream goes out behind its queue. Without fields the last body frame ends it. */
  end(stream: Stream, trailers: readonly string[]): void {
    stream.trailers = trailers;
    if (stream.queuedBytes === 0) this.#finish(stream, trailers);
    else this.#schedule(stream);
  }

  /** Forgets what a stream still wanted to send. */
  drop(stream: Stream): void {
    this.queuedBytes -= stream.queuedBytes + stream.sourceBytes;
    stream.queue = undefined;
    stream.source?.onGone?.();
    stream.source = undefined;
    stream.sourceBytes = 0;
    stream.queuedBytes = 0;
    stream.trailers = undefined;
  }

  /** Bodies into the output, as far as the windows and the bound of a turn go. */
  pump(): void {
    while (this.hasMore && this.output.size < turnBytesMax) {
      const stream = this.#scheduled[this.#first++] as Stream;
      stream.isScheduled = false;
      if (stream.queuedBytes > 0 && stream.sendWindow > 0) this.#sendFrame(stream);
      this.#schedule(stream);
    }
    if (this.#first === this.#scheduled.length) this.#scheduled.length = this.#first = 0;
    else if (this.#first > 1024) {
      this.#scheduled = this.#scheduled.slice(this.#first);
      this.#first = 0;
    }
  }

  /** Throws ConnectionError. */
  addWindow(bytes: number): void {
    this.#window += bytes;
    if (this.#window > windowBytesMax) {
      throw new ConnectionError(ErrorCode.flowControlError, `a connection window of ${this.#window} bytes`);
    }
    if (this.hasMore) this.#options.onDirty();
  }

  /** False when the window grew beyond what the protocol allows. */
  addStreamWindow(stream: Stream, bytes: number): boolean {
    stream.sendWindow += bytes;
    this.#schedule(stream);
    return stream.sendWindow <= windowBytesMax;
  }

  /** A new SETTINGS_INITIAL_WINDOW_SIZE, which moves the windows of open streams too. Throws ConnectionError. */
  setInitialWindow(bytes: number, streams: Iterable<Stream>): void {
    const difference = bytes - this.#initialWindow;
    this.#initialWindow = bytes;
    for (const stream of streams) {
      if (!this.addStreamWindow(stream, difference)) {
        throw new ConnectionError(
          ErrorCode.flowControlError,
          `a stream window of ${stream.sendWindow} bytes`,
        );
      }
    }
  }

  #schedule(stream: Stream): void {
    if (stream.isScheduled || stream.queuedBytes === 0 || stream.sendWindow <= 0) return;
    stream.isScheduled = true;
    this.#scheduled.push(stream);
    if (this.hasMore) this.#options.onDirty();
  }

  #sendFrame(stream: Stream): void {
    const queue = stream.queue as Uint8Array[];
    const first = queue[0] as Uint8Array;
    const left = first.length - stream.queueOffset;
    const length = Math.min(left, frameBytesMax, this.#window, stream.sendWindow);
    const bytes = first.subarray(stream.queueOffset, stream.queueOffset + length);
    if (length === left) {
      queue.shift();
      stream.queueOffset = 0;
    } else stream.queueOffset += length;
    stream.queuedBytes -= length;
    stream.sendWindow -= length;
    this.queuedBytes -= length;
    this.#window -= length;
    if (stream.queuedBytes === 0) this.#fill(stream);
    const { trailers } = stream;
    const isEnd = stream.queuedBytes === 0 && trailers !== undefined && trailers.length === 0;
    const { output } = this;
    const at = output.reserve(frameHead);
    writeFrameHead(output.target, at, length, FrameType.data, isEnd ? Flag.endStream : 0, stream.id);
    output.bytes(bytes);
    if (stream.queuedBytes === 0 && trailers !== undefined) {
      if (isEnd) this.#options.onSent(stream);
      else this.#finish(stream, trailers);
    } else if (stream.queuedBytes <= lowWaterBytes && stream.queuedBytes + length > lowWaterBytes) {
      stream.owner.onRoom();
    }
  }

  /** Makes the next piece of the stream's source. */
  #fill(stream: Stream): void {
    while (stream.source !== undefined && stream.queuedBytes === 0) {
      const piece = stream.source.next();
      if (piece === undefined) {
        stream.source.onGone?.();
        stream.source = undefined;
        return;
      }
      if (piece.length === 0) continue;
      stream.queue ??= [];
      stream.queue.push(piece);
      stream.queuedBytes += piece.length;
      stream.sourceBytes -= piece.length;
    }
  }

  #finish(stream: Stream, trailers: readonly string[]): void {
    if (trailers.length === 0) this.frame(FrameType.data, Flag.endStream, stream.id, noBytes);
    else {
      const block = trailers === okTrailers ? this.encoder.okTrailers() : this.encoder.plain(trailers);
      this.headers(stream.id, block, true);
    }
    this.#options.onSent(stream);
  }
}

const noBytes = new Uint8Array(0);

function writeMessageHead(target: Uint8Array, at: number, length: number): number {
  target[at] = 0;
  writeUint32(target, at + 1, length);
  return at + messageHeadBytes;
}
