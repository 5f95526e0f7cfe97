// A client that speaks HTTP/2 in bytes, so that tests can say what no client library would.

import { connect, type Socket } from "node:net";
import { HpackDecoder } from "../http2/hpack-decoder.ts";
import { HpackEncoder } from "../http2/hpack-encoder.ts";
import { Flag, FrameType, frameHeadBytes, uint32At, writeFrameHead, writeUint32 } from "../http2/protocol.ts";

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly payload: Buffer;
}

export interface RawAnswer {
  /** Fields of all header blocks of the stream: head and trailers. */
  readonly fields: Readonly<Record<string, string>>;
  readonly body: Buffer;
  /** The code of an RST_STREAM, where one ended the stream. */
  readonly resetCode: number | undefined;
}

const prefaceText = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

export class RawClient {
  readonly socket: Socket;
  readonly frames: Frame[] = [];
  readonly #fields = new Map<number, Record<string, string>>();
  readonly #decoder = new HpackDecoder({ tableBytes: 4096, listBytesMax: 1 << 20 });
  readonly #encoder = new HpackEncoder();
  #rest: Buffer = Buffer.alloc(0);
  #waiting: (() => void)[] = [];
  isClosed = false;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on("data", (chunk: Buffer) => this.#onBytes(chunk));
    socket.on("error", () => {});
    socket.on("close", () => {
      this.isClosed = true;
      this.#wake();
    });
  }

  /** Connects and says hello, unless `isSilent`. */
  static async open(port: number, { isSilent = false, settings = Buffer.alloc(0) } = {}): Promise<RawClient> {
    const socket = connect(port, "127.0.0.1");
    socket.setNoDelay(true);
    const client = new RawClient(socket);
    await new Promise<void>((resolve, reject) => socket.once("connect", resolve).once("error", reject));
    if (!isSilent) {
      client.write(Buffer.from(prefaceText));
      client.frame(FrameType.settings, 0, 0, settings);
    }
    return client;
  }

  write(bytes: Uint8Array): void {
    if (!this.socket.destroyed) this.socket.write(bytes);
  }

  frame(type: number, flags: number, streamId: number, payload: Uint8Array = Buffer.alloc(0)): void {
    this.write(frameBytes(type, flags, streamId, payload));
  }

  /** The fields of a gRPC request, with others added or, where empty, left out. */
  headers(streamId: number, path: string, { fields = {}, isEnd = false }: RequestOptions = {}): void {
    const flags = Flag.endHeaders | (isEnd ? Flag.endStream : 0);
    this.frame(FrameType.headers, flags, streamId, this.block(path, fields));
  }

  /** A request's head of exactly these fields, names and values in turn, which ends the request. */
  fields(streamId: number, fields: readonly string[]): void {
    const block = this.#encoder.plain([...fields]);
    this.frame(FrameType.headers, Flag.endHeaders | Flag.endStream, streamId, block);
  }

  block(path: string, fields: Readonly<Record<string, string>> = {}): Uint8Array {
    const all: Record<string, string> = {
      ":method": "POST",
      ":scheme": "http",
      ":path": path,
      ":authority": "test",
      "content-type": "application/grpc",
      te: "trailers",
      ...fields,
    };
    return this.#encoder.plain(
      Object.entries(all).flatMap(([name, value]) => (value === "" ? [] : [name, value])),
    );
  }

  data(streamId: number, bytes: Uint8Array, isEnd = true): void {
    this.frame(FrameType.data, isEnd ? Flag.endStream : 0, streamId, bytes);
  }

  /** One call from head to end. */
  async call(
    streamId: number,
    path: string,
    body: Uint8Array,
    fields: Readonly<Record<string, string>> = {},
  ): Promise<RawAnswer> {
    this.headers(streamId, path, { fields });
    this.data(streamId, body);
    return this.answer(streamId);
  }

  /** Waits for the end of a stream. */
  async answer(streamId: number): Promise<RawAnswer> {
    await this.until(() => this.isClosed || this.frames.some((frame) => isEndOf(frame, streamId)));
    const own = this.frames.filter((frame) => frame.streamId === streamId);
    const reset = own.find(({ type }) => type === FrameType.rstStream);
    return {
      fields: this.#fields.get(streamId) ?? {},
      body: Buffer.concat(own.filter(({ type }) => type === FrameType.data).map(({ payload }) => payload)),
      resetCode: reset === undefined ? undefined : uint32At(reset.payload, 0),
    };
  }

  /** Waits for GOAWAY and the end of the connection; the code and the text that came with it. */
  async goaway(): Promise<{ readonly code: number; readonly text: string } | undefined> {
    await this.until(() => this.isClosed);
    const frame = this.frames.find(({ type }) => type === FrameType.goaway);
    if (frame === undefined) return undefined;
    return { code: uint32At(frame.payload, 4), text: frame.payload.subarray(8).toString("latin1") };
  }

  /** Waits until the server has read everything sent so far. */
  async settle(): Promise<void> {
    const payload = Buffer.from(String(this.frames.length).padStart(8, "0"));
    this.frame(FrameType.ping, 0, 0, payload);
    await this.until(
      () =>
        this.isClosed ||
        this.frames.some(({ type, payload: got }) => type === FrameType.ping && got.equals(payload)),
    );
  }

  async until(isMet: () => boolean): Promise<void> {
    while (!isMet()) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  close(): void {
    this.socket.destroy();
  }

  #onBytes(chunk: Buffer): void {
    let bytes: Buffer = Buffer.concat([this.#rest, chunk]);
    while (bytes.length >= frameHeadBytes) {
      const length = bytes.readUIntBE(0, 3);
      if (bytes.length < frameHeadBytes + length) break;
      const payload = bytes.subarray(frameHeadBytes, frameHeadBytes + length);
      const frame = {
        type: bytes[3] as number,
        flags: bytes[4] as number,
        streamId: uint32At(bytes, 5),
        payload,
      };
      this.frames.push(frame);
      if (frame.type === FrameType.headers) this.#readFields(frame);
      bytes = bytes.subarray(frameHeadBytes + length);
    }
    this.#rest = bytes;
    this.#wake();
  }

  #readFields({ streamId, payload }: Frame): void {
    const { fields } = this.#decoder.decode(payload, 0, payload.length);
    const known = this.#fields.get(streamId) ?? {};
    for (let i = 0; i < fields.length; i += 2) known[fields[i] as string] = fields[i + 1] as string;
    this.#fields.set(streamId, known);
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}

interface RequestOptions {
  readonly fields?: Readonly<Record<string, string>>;
  readonly isEnd?: boolean;
}

export function frameBytes(type: number, flags: number, streamId: number, payload: Uint8Array): Buffer {
  const bytes = Buffer.alloc(frameHeadBytes + payload.length);
  bytes.set(payload, writeFrameHead(bytes, 0, payload.length, type, flags, streamId));
  return bytes;
}

/** A gRPC message with its head. */
export function message(bytes: Uint8Array, { isCompressed = false, length = bytes.length } = {}): Buffer {
  const framed = Buffer.alloc(5 + bytes.length);
  framed[0] = isCompressed ? 1 : 0;
  writeUint32(framed, 1, length);
  framed.set(bytes, 5);
  return framed;
}

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  writeUint32(bytes, 0, value);
  return bytes;
}

export function setting(id: number, value: number): Buffer {
  return Buffer.concat([Buffer.from([0, id]), uint32(value)]);
}

export function isEndOf({ type, flags, streamId }: Frame, wanted: number): boolean {
  if (streamId !== wanted) return false;
  if (type === FrameType.rstStream) return true;
  return (type === FrameType.headers || type === FrameType.data) && (flags & Flag.endStream) !== 0;
}
