// One HTTP/2 connection, the server's side: frames in, requests to the host above, answers out through the sender.
// Everything a client can do wrong or too often ends here, in a reset of its stream or a GOAWAY.

import type { Socket } from "node:net";
import { Abuse } from "./abuse.ts";
import type { ConnectionHost } from "./connection-host.ts";
import type { Flushable, FlushQueue } from "./flush-queue.ts";
import { paddingOf, wholeBodyEnd } from "./frame-shape.ts";
import { HeadCache } from "./head-cache.ts";
import { HpackDecoder } from "./hpack-decoder.ts";
import { Keepalive, type KeepaliveOptions } from "./keepalive.ts";
import { PingPolicy } from "./ping-policy.ts";
import {
  ConnectionError,
  ErrorCode,
  Flag,
  FrameType,
  frameBytesMax,
  frameHeadBytes,
  StreamError,
  streamIdMax,
  uint32At,
  writeUint32,
} from "./protocol.ts";
import { ReceiveWindows, streamWindowBytes } from "./receive-windows.ts";
import { checkTrailers, type RequestHead } from "./request-head.ts";
import { type MessageWriter, okTrailers, Sender } from "./sender.ts";
import { applySettings, ourSettings, tableBytes } from "./settings.ts";
import { type Source, Stream, type StreamOwner } from "./stream.ts";
import { StreamIds } from "./stream-ids.ts";
import { StreamTable } from "./stream-table.ts";

/** What an HTTP/2 client sends first (RFC 9113, section 3.4). */
const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");
/** The whole list of a request's fields, by HPACK's count. */
export const headerListBytesMax = 64 * 1024;
/** The compressed form of it. */
const headerBlockBytesMax = 64 * 1024;
/** Answers that wait for a client's window. One more, of any size, may come on top. */
const queuedBytesMax = 64 * 1024 * 1024;
/** A client is told of the end, and has this long to read it. */
const goodbyeMs = 1000;

export interface ConnectionOptions {
  readonly host: ConnectionHost;
  readonly flushQueue: FlushQueue;
  readonly streamsMax: number;
  readonly keepalive: KeepaliveOptions;
  readonly nowMs: () => number;
}

interface HeaderBlock {
  readonly streamId: number;
  readonly isEnd: boolean;
  readonly parts: Uint8Array[];
  bytes: number;
}

type Phase = "preface" | "settings" | "open" | "closing" | "closed";

export class Connection implements Flushable {
  readonly sender: Sender;
  readonly windows: ReceiveWindows;
  /** When the bytes came that are being handled. */
  receivedMs = 0;
  readonly #socket: Socket;
  readonly #options: ConnectionOptions;
  readonly #streams = new StreamTable();
  readonly #ids = new StreamIds();
  readonly #decoder = new HpackDecoder({ tableBytes, listBytesMax: headerListBytesMax });
  readonly #heads = new HeadCache(this.#decoder);
  readonly #abuse: Abuse;
  readonly #keepalive: Keepalive;
  readonly #pings: PingPolicy;
  #phase: Phase = "preface";
  /** The beginning of a frame whose rest has not come. */
  #rest: Uint8Array | undefined;
  /** Fields that go on in CONTINUATION frames. */
  #block: HeaderBlock | undefined;
  #isFlushDue = false;
  /** Resets of streams that were closed. */
  #lateResets = 0;
  /** No new requests: the client said GOAWAY, or we did. */
  #isDraining = false;
  /** The highest stream that our GOAWAY promised to answer. */
  #lastStreamId = streamIdMax;

  constructor(socket: Socket, options: ConnectionOptions) {
    this.#socket = socket;
    this.#options = options;
    const nowMs = options.nowMs();
    this.#abuse = new Abuse(nowMs);
    this.#pings = new PingPolicy(options.keepalive.minIntervalMs);
    this.#keepalive = new Keepalive(options.keepalive, nowMs);
    this.sender = new Sender({
      onDirty: () => this.#flushSoon(),
      onSent: (stream) => this.#onSent(stream),
    });
    this.windows = new ReceiveWindows((id, bytes) =>
      this.sender.uint32Frame(FrameType.windowUpdate, id, bytes),
    );
    socket.on("data", (chunk: Buffer) => this.#onBytes(chunk));
    socket.on("drain", () => this.#onDrain());
    socket.on("error", () => socket.destroy());
    socket.on("close", () => this.#onClose());
    this.sender.frame(FrameType.settings, 0, 0, ourSettings(options.streamsMax, headerListBytesMax));
    this.windows.open();
  }

  get streamCount(): number {
    return this.#streams.size;
  }

  get isOpen(): boolean {
    return this.#phase === "open" || this.#phase === "settings" || this.#phase === "preface";
  }

  /** True while so much waits for the client that no more may be added. */
  get isOverloaded(): boolean {
    return this.sender.queuedBytes > queuedBytesMax;
  }

  /** Host and port of the client, or of nobody on a unix socket. */
  get peer(): string {
    const { remoteAddress, remotePort } = this.#socket;
    if (remoteAddress === undefined) return "@";
    return remoteAddress.includes(":")
      ? `[${remoteAddress}]:${remotePort}`
      : `${remoteAddress}:${remotePort}`;
  }

  get socket(): Socket {
    return this.#socket;
  }

  /** Begins a stream for a request that was just handed out. */
  open(streamId: number, owner: StreamOwner, isRemoteOpen: boolean, bodyBytes?: number): Stream {
    const stream = new Stream({
      id: streamId,
      owner,
      isRemoteOpen,
      sendWindow: this.sender.initialWindow,
      receiveWindow: streamWindowBytes,
      bodyBytes: isRemoteOpen ? bodyBytes : undefined,
    });
    this.#streams.add(stream);
    return stream;
  }

  /** The body of a request that came as a whole was given to the owner of its stream. */
  endOfBody(streamId: number, owner: StreamOwner): void {
    const stream = this.#streams.get(streamId);
    if (stream?.owner !== owner) return;
    stream.isRemoteOpen = false;
    owner.onEnd();
  }

  /** Answers with one message; `stream` where one was opened. False: there is no room, and a stream is needed. */
  answer(streamId: number, stream: Stream | undefined, message: Uint8Array): boolean {
    if (!this.isOpen) return true;
    this.#pings.onSent();
    const window = stream === undefined ? this.sender.initialWindow : stream.sendWindow;
    if (!this.sender.unary(streamId, window, message)) return false;
    if (stream !== undefined) this.#onSent(stream);
    return true;
  }

  /** The same for a message that is encoded into the output. Hot. */
  answerEncoded<T>(
    streamId: number,
    stream: Stream | undefined,
    encoding: MessageWriter<T>,
    message: T,
    messageBytes: number,
  ): boolean {
    if (!this.isOpen) return true;
    this.#pings.onSent();
    const { sender } = this;
    const at = sender.unaryRoom(streamId, stream?.sendWindow ?? sender.initialWindow, messageBytes);
    if (at < 0) return false;
    encoding.writeTo(sender.output.target, at, message);
    if (stream !== undefined) this.#onSent(stream);
    return true;
  }

  /** An answer that is one block of fields, names and values in turn. */
  answerFields(streamId: number, fields: readonly string[], isRemoteOpen: boolean): void {
    if (!this.isOpen) return;
    this.#pings.onSent();
    this.sender.headers(streamId, this.sender.encoder.plain(fields), true);
    if (isRemoteOpen) this.#sendReset(streamId, ErrorCode.noError);
  }

  /** The same on a stream that was opened, and is over then. */
  endWithFields(stream: Stream, fields: readonly string[]): void {
    if (!stream.isLocalOpen || !this.isOpen) return;
    this.#pings.onSent();
    this.sender.drop(stream);
    this.sender.headers(stream.id, this.sender.encoder.plain(fields), true);
    this.#onSent(stream);
  }

  /** The first block of an answer that goes on. */
  sendHead(stream: Stream, block: Uint8Array): void {
    if (!stream.isLocalOpen || !this.isOpen) return;
    this.#pings.onSent();
    stream.isAnswered = true;
    this.sender.headers(stream.id, block, false);
  }

  sendBody(stream: Stream, bytes: Uint8Array): void {
    if (!stream.isLocalOpen || !this.isOpen) return;
    this.#pings.onSent();
    this.sender.body(stream, bytes);
  }

  /** A body that is made while it leaves. */
  sendBodyFrom(stream: Stream, source: Source): void {
    if (!stream.isLocalOpen || !this.isOpen) {
      source.onGone?.();
      return;
    }
    this.#pings.onSent();
    this.sender.bodyFrom(stream, source);
  }

  end(stream: Stream, trailers: readonly string[] = okTrailers): void {
    if (!stream.isLocalOpen || !this.isOpen) return;
    this.sender.end(stream, trailers);
  }

  reset(stream: Stream, code: number): void {
    if (this.#streams.get(stream.id) !== stream) return;
    this.#forget(stream);
    this.#sendReset(stream.id, code);
  }

  /** Tells the client to go elsewhere; calls under way may end. */
  drain(): void {
    if (!this.isOpen || this.#isDraining) return;
    this.#isDraining = true;
    this.#lastStreamId = this.#ids.last;
    this.#sendGoaway(ErrorCode.noError, "");
    this.#closeIfDone();
  }

  /** Ends every call and the connection. */
  destroy(): void {
    this.#socket.destroy();
  }

  /** Once a second: what takes too long, and our own pings. */
  sweep(nowMs: number): void {
    if (!this.isOpen) return;
    const verdict = this.#keepalive.sweep(nowMs, {
      isHandshakeOpen: this.#phase !== "open",
      isFrameOpen: this.#rest !== undefined || this.#block !== undefined,
      isStalled: this.sender.isCongested,
    });
    switch (verdict) {
      case "fine":
        return;
      case "ping":
        this.sender.frame(FrameType.ping, 0, 0, pingPayload);
        return;
      case "gone":
        this.#socket.destroy();
        return;
      case "slow":
        this.#fail(new ConnectionError(ErrorCode.enhanceYourCalm, "a frame or a handshake took too long"));
    }
  }

  get waitingBytes(): number {
    return this.sender.output.size;
  }

  flush(): void {
    this.#isFlushDue = false;
    if (this.#phase === "closed") return;
    this.sender.pump();
    const parts = this.sender.output.take();
    if (parts.length === 0) return;
    let hasRoom = true;
    if (parts.length === 1) hasRoom = this.#socket.write(parts[0] as Buffer);
    else {
      this.#socket.cork();
      for (const part of parts) hasRoom = this.#socket.write(part);
      this.#socket.uncork();
    }
    if (hasRoom) {
      if (this.sender.hasMore) setImmediate(() => this.#flushSoon());
      return;
    }
    // While the client takes nothing, nothing is taken from it: that bounds what waits for it here.
    this.sender.isCongested = true;
    this.#keepalive.onCongested(this.#options.nowMs());
    this.#socket.pause();
  }

  #onDrain(): void {
    // A turn later, so that a fast reader of a long answer does not keep others waiting.
    setImmediate(() => {
      if (this.#phase === "closed") return;
      this.sender.isCongested = false;
      this.#socket.resume();
      this.#flushSoon();
    });
  }

  #flushSoon(): void {
    if (this.#isFlushDue || this.#phase === "closed") return;
    this.#isFlushDue = true;
    this.#options.flushQueue.add(this);
  }

  #onClose(): void {
    if (this.#phase === "closed") return;
    this.#phase = "closed";
    this.#endStreams();
    this.#options.host.onClosed(this);
  }

  #endStreams(): void {
    for (const stream of this.#streams.all()) {
      this.#forget(stream);
      stream.owner.onReset();
    }
  }

  #onBytes(chunk: Buffer): void {
    if (!this.isOpen) return;
    this.#keepalive.onBytes();
    this.receivedMs = this.#options.nowMs();
    const rest = this.#rest;
    const bytes: Buffer = rest === undefined ? chunk : Buffer.concat([rest, chunk]);
    let at: number;
    try {
      at = this.#parse(bytes);
    } catch (error) {
      if (!(error instanceof ConnectionError)) throw error;
      this.#fail(error);
      return;
    }
    if (at === bytes.length) {
      this.#rest = undefined;
      return;
    }
    if (rest === undefined || at > 0) this.#keepalive.onFrameBegins(this.#options.nowMs());
    // A copy, so that a byte of a frame does not keep a whole chunk.
    this.#rest = Uint8Array.prototype.slice.call(bytes, at);
  }

  /** Handles every whole frame, and answers where the first byte of the rest is. Throws ConnectionError. */
  #parse(bytes: Buffer): number {
    let at = 0;
    if (this.#phase === "preface") {
      const length = Math.min(preface.length, bytes.length);
      if (!bytes.subarray(0, length).equals(preface.subarray(0, length))) {
        throw new ConnectionError(ErrorCode.protocolError, "this is not HTTP/2");
      }
      if (length < preface.length) return 0;
      this.#phase = "settings";
      at = length;
    }
    while (bytes.length - at >= frameHeadBytes && this.isOpen) {
      const length =
        ((bytes[at] as number) << 16) | ((bytes[at + 1] as number) << 8) | (bytes[at + 2] as number);
      if (length > frameBytesMax) {
        throw new ConnectionError(
          ErrorCode.frameSizeError,
          `a frame of ${length} bytes, where ${frameBytesMax} are allowed`,
        );
      }
      const start = at + frameHeadBytes;
      if (bytes.length - start < length) return at;
      const type = bytes[at + 3] as number;
      const flags = bytes[at + 4] as number;
      const streamId = uint32At(bytes, at + 5) & streamIdMax;
      at = this.#onFrame(type, flags, streamId, bytes, start, start + length);
    }
    return this.isOpen ? at : bytes.length;
  }

  /** Answers where the next frame begins, which is `end` unless more than this frame was handled. */
  #onFrame(type: number, flags: number, streamId: number, bytes: Buffer, start: number, end: number): number {
    if (this.#phase === "settings" && (type !== FrameType.settings || (flags & Flag.ack) !== 0)) {
      throw new ConnectionError(ErrorCode.protocolError, `frame type ${type} before SETTINGS`);
    }
    if (this.#block !== undefined && (type !== FrameType.continuation || streamId !== this.#block.streamId)) {
      throw new ConnectionError(ErrorCode.protocolError, `frame type ${type} inside a header block`);
    }
    switch (type) {
      case FrameType.data:
        this.#onData(flags, streamId, bytes, start, end);
        break;
      case FrameType.headers:
        return this.#onHeaders(flags, streamId, bytes, start, end);
      case FrameType.priority:
        this.#onPriority(streamId, bytes, start, end);
        break;
      case FrameType.rstStream:
        this.#onReset(streamId, end - start);
        break;
      case FrameType.settings:
        this.#onSettings(flags, streamId, bytes, start, end);
        break;
      case FrameType.pushPromise:
        throw new ConnectionError(ErrorCode.protocolError, "PUSH_PROMISE from a client");
      case FrameType.ping:
        this.#onPing(flags, streamId, bytes, start, end);
        break;
      case FrameType.goaway:
        if (streamId !== 0) throw new ConnectionError(ErrorCode.protocolError, "GOAWAY on a stream");
        this.#isDraining = true;
        this.#closeIfDone();
        break;
      case FrameType.windowUpdate:
        this.#onWindowUpdate(streamId, bytes, start, end);
        break;
      case FrameType.continuation:
        this.#onContinuation(flags, bytes, start, end);
        break;
      default:
        this.#countGlitch();
    }
    return end;
  }

  #onData(flags: number, streamId: number, bytes: Uint8Array, start: number, end: number): void {
    if (streamId === 0) throw new ConnectionError(ErrorCode.protocolError, "DATA on stream 0");
    if (!this.windows.onConnectionBytes(end - start)) {
      throw new ConnectionError(ErrorCode.flowControlError, "more DATA than the connection's window");
    }
    const stream = this.#streams.get(streamId);
    if (stream === undefined) {
      this.#onLateFrame(streamId, "DATA");
      return;
    }
    if (!stream.isRemoteOpen) {
      this.#failStream(stream, ErrorCode.streamClosed);
      return;
    }
    if (!this.windows.onStreamBytes(stream, end - start)) {
      this.#failStream(stream, ErrorCode.flowControlError);
      return;
    }
    const from = (flags & Flag.padded) !== 0 ? start + 1 : start;
    const to = (flags & Flag.padded) !== 0 ? end - paddingOf(bytes, start, end) : end;
    const isEnd = (flags & Flag.endStream) !== 0;
    if (from === to && !isEnd) this.#countGlitch();
    if (!this.#isBodyAsAnnounced(stream, to - from, isEnd)) {
      this.#failStream(stream, ErrorCode.protocolError);
      return;
    }
    if (isEnd) stream.isRemoteOpen = false;
    if (to > from) stream.owner.onData(bytes, from, to, isEnd);
    if (isEnd && this.#streams.get(streamId) === stream) stream.owner.onEnd();
  }

  #isBodyAsAnnounced(stream: Stream, bodyBytes: number, isEnd: boolean): boolean {
    if (stream.bodyBytesLeft === undefined) return true;
    stream.bodyBytesLeft -= bodyBytes;
    return isEnd ? stream.bodyBytesLeft === 0 : stream.bodyBytesLeft >= 0;
  }

  #onHeaders(flags: number, streamId: number, bytes: Buffer, start: number, end: number): number {
    if (streamId === 0 || (streamId & 1) === 0) {
      throw new ConnectionError(ErrorCode.protocolError, `HEADERS on stream ${streamId}`);
    }
    let from = start;
    let to = end;
    if ((flags & Flag.padded) !== 0) {
      to = end - paddingOf(bytes, start, end);
      from += 1;
    }
    if ((flags & Flag.priority) !== 0) {
      if (to - from < 5) throw new ConnectionError(ErrorCode.frameSizeError, "HEADERS without its priority");
      if ((uint32At(bytes, from) & streamIdMax) === streamId) {
        throw new ConnectionError(ErrorCode.protocolError, `stream ${streamId} depends on itself`);
      }
      from += 5;
    }
    const isEnd = (flags & Flag.endStream) !== 0;
    if ((flags & Flag.endHeaders) === 0) {
      const part: Uint8Array = Uint8Array.prototype.slice.call(bytes, from, to);
      this.#block = { streamId, isEnd, parts: [part], bytes: to - from };
      this.#keepalive.onFrameBegins(this.#options.nowMs());
      return end;
    }
    return this.#onFields(streamId, isEnd, bytes, from, to, end);
  }

  #onContinuation(flags: number, bytes: Uint8Array, start: number, end: number): void {
    const block = this.#block;
    if (block === undefined) {
      throw new ConnectionError(ErrorCode.protocolError, "CONTINUATION without HEADERS");
    }
    if (end - start < 1024) this.#countGlitch();
    block.bytes += end - start;
    if (block.bytes > headerBlockBytesMax) {
      throw new ConnectionError(
        ErrorCode.enhanceYourCalm,
        `a header block above ${headerBlockBytesMax} bytes`,
      );
    }
    block.parts.push(Uint8Array.prototype.slice.call(bytes, start, end));
    if ((flags & Flag.endHeaders) === 0) return;
    this.#block = undefined;
    const whole = Buffer.concat(block.parts);
    this.#onFields(block.streamId, block.isEnd, whole, 0, whole.length, whole.length);
  }

  /** A whole header block [from, to); what follows it in `bytes` begins at `next`. Hot. */
  #onFields(streamId: number, isEnd: boolean, bytes: Buffer, from: number, to: number, next: number): number {
    const stream = this.#streams.get(streamId);
    if (stream !== undefined || streamId <= this.#ids.last) {
      this.#onTrailers(streamId, stream, isEnd, bytes, from, to);
      return next;
    }
    this.#ids.open(streamId);
    let head: RequestHead;
    try {
      head = this.#heads.head(bytes, from, to);
    } catch (error) {
      if (!(error instanceof StreamError)) throw error;
      this.#countReset();
      this.#sendReset(streamId, error.code);
      return next;
    }
    if (streamId > this.#lastStreamId || this.#streams.size >= this.#options.streamsMax) {
      this.#countReset();
      this.#sendReset(streamId, ErrorCode.refusedStream);
      return next;
    }
    if (isEnd) {
      if ((head.contentLength ?? 0) !== 0) this.#refuseBody(streamId);
      else this.#options.host.onRequest(this, streamId, head, false);
      return next;
    }
    const wholeEnd = wholeBodyEnd(bytes, next, streamId);
    if (wholeEnd === 0) {
      this.#options.host.onRequest(this, streamId, head, true);
      return next;
    }
    const start = next + frameHeadBytes;
    if (!this.windows.onConnectionBytes(wholeEnd - start)) {
      throw new ConnectionError(ErrorCode.flowControlError, "more DATA than the connection's window");
    }
    if (head.contentLength !== undefined && head.contentLength !== wholeEnd - start) {
      this.#refuseBody(streamId);
    } else this.#options.host.onWhole(this, streamId, head, bytes, start, wholeEnd);
    return wholeEnd;
  }

  /** The body is not as long as content-length says. */
  #refuseBody(streamId: number): void {
    this.#countReset();
    this.#sendReset(streamId, ErrorCode.protocolError);
  }

  #onTrailers(
    streamId: number,
    stream: Stream | undefined,
    isEnd: boolean,
    bytes: Uint8Array,
    from: number,
    to: number,
  ): void {
    const { fields } = this.#decoder.decode(bytes, from, to);
    if (stream === undefined) {
      if (this.#ids.wasSkipped(streamId)) {
        throw new ConnectionError(ErrorCode.protocolError, `stream ${streamId} opens after later ones`);
      }
      if (this.#ids.wasReset(streamId)) return;
      throw new ConnectionError(ErrorCode.streamClosed, `HEADERS on stream ${streamId}, which is closed`);
    }
    if (!stream.isRemoteOpen) {
      this.#failStream(stream, ErrorCode.streamClosed);
      return;
    }
    try {
      checkTrailers(fields);
    } catch (error) {
      if (!(error instanceof StreamError)) throw error;
      this.#failStream(stream, error.code);
      return;
    }
    if (!isEnd || !this.#isBodyAsAnnounced(stream, 0, true)) {
      this.#failStream(stream, ErrorCode.protocolError);
      return;
    }
    stream.isRemoteOpen = false;
    stream.owner.onEnd();
  }

  #onPriority(streamId: number, bytes: Uint8Array, start: number, end: number): void {
    if (streamId === 0) throw new ConnectionError(ErrorCode.protocolError, "PRIORITY on stream 0");
    if (end - start !== 5) {
      throw new ConnectionError(ErrorCode.frameSizeError, `PRIORITY of ${end - start} bytes`);
    }
    if ((uint32At(bytes, start) & streamIdMax) === streamId) {
      throw new ConnectionError(ErrorCode.protocolError, `stream ${streamId} depends on itself`);
    }
    this.#countGlitch();
  }

  #onReset(streamId: number, length: number): void {
    if (length !== 4) throw new ConnectionError(ErrorCode.frameSizeError, `RST_STREAM of ${length} bytes`);
    if (streamId === 0 || streamId > this.#ids.last) {
      throw new ConnectionError(ErrorCode.protocolError, `RST_STREAM on stream ${streamId}, which is idle`);
    }
    const stream = this.#streams.get(streamId);
    if (stream === undefined) {
      // It crossed the end of the answer: no more often than there were streams.
      this.#lateResets += 1;
      if (this.#lateResets > this.#ids.count) this.#countGlitch();
      return;
    }
    // A call that had its answer, or the beginning of it, was not begun for nothing.
    if (!stream.isAnswered) this.#countReset();
    this.#forget(stream);
    stream.owner.onReset();
    this.#closeIfDone();
  }

  #onSettings(flags: number, streamId: number, bytes: Uint8Array, start: number, end: number): void {
    if (streamId !== 0) throw new ConnectionError(ErrorCode.protocolError, "SETTINGS on a stream");
    if ((flags & Flag.ack) !== 0) {
      if (end > start) throw new ConnectionError(ErrorCode.frameSizeError, "SETTINGS with ACK and a payload");
      return;
    }
    this.#countGlitch();
    applySettings(bytes, start, end, {
      headerTableSize: (value) => this.sender.encoder.onTableSize(value),
      initialWindowSize: (value) => this.sender.setInitialWindow(value, this.#streams.all()),
    });
    if (this.#phase === "settings") this.#phase = "open";
    this.sender.frame(FrameType.settings, Flag.ack, 0, noBytes);
  }

  #onPing(flags: number, streamId: number, bytes: Uint8Array, start: number, end: number): void {
    if (streamId !== 0) throw new ConnectionError(ErrorCode.protocolError, "PING on a stream");
    if (end - start !== 8)
      throw new ConnectionError(ErrorCode.frameSizeError, `PING of ${end - start} bytes`);
    if ((flags & Flag.ack) !== 0) return;
    this.sender.frame(FrameType.ping, Flag.ack, 0, bytes.slice(start, end));
    if (this.#pings.onPing(this.#options.nowMs(), this.#streams.size > 0)) return;
    throw new ConnectionError(ErrorCode.enhanceYourCalm, "too_many_pings");
  }

  #onWindowUpdate(streamId: number, bytes: Uint8Array, start: number, end: number): void {
    if (end - start !== 4) {
      throw new ConnectionError(ErrorCode.frameSizeError, `WINDOW_UPDATE of ${end - start} bytes`);
    }
    const increment = uint32At(bytes, start) & streamIdMax;
    if (streamId === 0) {
      if (increment === 0) throw new ConnectionError(ErrorCode.protocolError, "WINDOW_UPDATE by zero");
      this.sender.addWindow(increment);
      return;
    }
    const stream = this.#streams.get(streamId);
    if (stream === undefined) {
      if (streamId > this.#ids.last) {
        throw new ConnectionError(
          ErrorCode.protocolError,
          `WINDOW_UPDATE on stream ${streamId}, which is idle`,
        );
      }
      return;
    }
    if (increment === 0) this.#failStream(stream, ErrorCode.protocolError);
    else if (!this.sender.addStreamWindow(stream, increment)) {
      this.#failStream(stream, ErrorCode.flowControlError);
    }
  }

  /** A frame for a stream that is not open: late for one that we reset, wrong otherwise. */
  #onLateFrame(streamId: number, name: string): void {
    if (streamId > this.#ids.last) {
      throw new ConnectionError(ErrorCode.protocolError, `${name} on stream ${streamId}, which is idle`);
    }
    if (this.#ids.wasReset(streamId)) return;
    this.#countReset();
    this.#sendReset(streamId, ErrorCode.streamClosed);
  }

  /** The client broke the rules of one stream. */
  #failStream(stream: Stream, code: number): void {
    this.#countReset();
    this.#forget(stream);
    this.#sendReset(stream.id, code);
    stream.owner.onReset();
    this.#closeIfDone();
  }

  #sendReset(streamId: number, code: number): void {
    this.#ids.reset(streamId);
    this.sender.uint32Frame(FrameType.rstStream, streamId, code);
  }

  #onSent(stream: Stream): void {
    if (!stream.isLocalOpen) return;
    const { isRemoteOpen } = stream;
    this.#forget(stream);
    // The answer is complete, and what the client still has to say is not wanted (RFC 9113, section 8.1).
    if (isRemoteOpen) this.#sendReset(stream.id, ErrorCode.noError);
    this.#closeIfDone();
  }

  #forget(stream: Stream): void {
    stream.isLocalOpen = false;
    this.sender.drop(stream);
    this.windows.forget(stream);
    this.#streams.delete(stream.id);
  }

  #countGlitch(): void {
    if (!this.#abuse.onGlitch(this.#options.nowMs())) {
      throw new ConnectionError(ErrorCode.enhanceYourCalm, "too many frames that do nothing");
    }
  }

  #countReset(): void {
    if (!this.#abuse.onReset(this.#options.nowMs())) {
      throw new ConnectionError(ErrorCode.enhanceYourCalm, "too many streams that were reset");
    }
  }

  #closeIfDone(): void {
    if (!this.#isDraining || this.#streams.size > 0 || !this.isOpen) return;
    this.#close();
  }

  #fail(error: ConnectionError): void {
    if (!this.isOpen) return;
    this.#endStreams();
    this.#sendGoaway(error.code, error.message);
    this.#close();
  }

  #sendGoaway(code: number, message: string): void {
    const text = Buffer.from(message, "latin1").subarray(0, 256);
    const payload = Buffer.alloc(8 + text.length);
    writeUint32(payload, 0, Math.min(this.#ids.last, this.#lastStreamId));
    writeUint32(payload, 4, code);
    text.copy(payload, 8);
    this.sender.frame(FrameType.goaway, 0, 0, payload);
  }

  /** Sends what is left and closes; a client that does not read it is cut off. */
  #close(): void {
    this.#phase = "closing";
    this.flush();
    this.#rest = undefined;
    this.#block = undefined;
    this.#socket.end();
    // What still comes is read and dropped, or the client would see a reset instead of the reason.
    this.#socket.resume();
    const timer = setTimeout(() => this.#socket.destroy(), goodbyeMs);
    this.#socket.once("close", () => clearTimeout(timer));
  }
}

const noBytes = new Uint8Array(0);
const pingPayload = Buffer.from("etcdlike", "latin1");
