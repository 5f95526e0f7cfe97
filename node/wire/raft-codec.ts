// Codecs of raftpb, walpb and snappb. The bytes are those of etcd 3.6: raft-write.ts says what is written when.

import { emptyBytes } from "../lib/bytes.ts";
import {
  bytesFieldSizeUnlessEmpty,
  sizedFieldSize,
  writeBytesFieldUnlessEmpty,
  writeFieldStart,
  writeNumberField,
} from "./fields.ts";
import { numberSize } from "./int64.ts";
import type {
  ConfChange,
  ConfChangeV2,
  ConfState,
  Entry,
  HardState,
  Message,
  Snapshot,
  SnapshotMetadata,
} from "./raft.ts";
import {
  readConfChange,
  readConfChangeV2,
  readConfState,
  readEntry,
  readHardState,
  readMessage,
  readSnapshot,
  readSnapshotMetadata,
} from "./raft-read.ts";
import * as write from "./raft-write.ts";
import { Reader, readNested, skipBeyond } from "./reader.ts";

export interface SizedCodec<T> {
  /** Exact length of the encoding. */
  size(value: T): number;
  /** Writes the encoding at `offset` and returns the offset after it. */
  writeTo(target: Uint8Array, offset: number, value: T): number;
  encode(value: T): Uint8Array;
  /** Throws WireError. Bytes in the result are views of `bytes`. */
  decode(bytes: Uint8Array): T;
}

/** The body of one frame of the write-ahead log. */
export interface WalRecord {
  readonly type: number;
  /** Running CRC-32C over the data of this and all earlier records. */
  readonly crc: number;
  readonly data: Uint8Array;
}

/** A snapshot record of the write-ahead log. Old logs lack the conf state. */
export interface WalSnapshot {
  readonly index: number;
  readonly term: number;
  readonly confState: ConfState | undefined;
}

/** The content of a .snap file: an encoded Snapshot and its CRC-32C. */
export interface SnapFile {
  readonly crc: number;
  readonly data: Uint8Array;
}

export const raftCodecs = {
  Entry: codec<Entry>(write.entrySize, write.writeEntry, readEntry),
  HardState: codec<HardState>(write.hardStateSize, write.writeHardState, readHardState),
  ConfState: codec<ConfState>(write.confStateSize, write.writeConfState, readConfState),
  SnapshotMetadata: codec<SnapshotMetadata>(
    write.snapshotMetadataSize,
    write.writeSnapshotMetadata,
    readSnapshotMetadata,
  ),
  Snapshot: codec<Snapshot>(write.snapshotSize, write.writeSnapshot, readSnapshot),
  Message: codec<Message>(write.messageSize, write.writeMessage, readMessage),
  ConfChange: codec<ConfChange>(write.confChangeSize, write.writeConfChange, readConfChange),
  ConfChangeV2: codec<ConfChangeV2>(write.confChangeV2Size, write.writeConfChangeV2, readConfChangeV2),
  WalRecord: codec<WalRecord>(walRecordSize, writeWalRecord, readWalRecord),
  WalSnapshot: codec<WalSnapshot>(walSnapshotSize, writeWalSnapshot, readWalSnapshot),
  SnapFile: codec<SnapFile>(snapFileSize, writeSnapFile, readSnapFile),
} as const;

/** The encoded length of an entry, which size limits of messages and batches count. */
export const entrySize = write.entrySize;

function codec<T>(
  size: (value: T) => number,
  writeTo: (target: Uint8Array, offset: number, value: T) => number,
  read: (reader: Reader) => T,
): SizedCodec<T> {
  return {
    size,
    writeTo,
    encode(value) {
      const target = new Uint8Array(size(value));
      writeTo(target, 0, value);
      return target;
    },
    decode: (bytes) => read(new Reader(bytes)),
  };
}

function walRecordSize(record: WalRecord): number {
  return 2 + numberSize(record.type) + numberSize(record.crc) + bytesFieldSizeUnlessEmpty(record.data);
}

function writeWalRecord(target: Uint8Array, offset: number, record: WalRecord): number {
  let at = writeNumberField(target, offset, 1, record.type);
  at = writeNumberField(target, at, 2, record.crc);
  return writeBytesFieldUnlessEmpty(target, at, 3, record.data);
}

function readWalRecord(reader: Reader): WalRecord {
  let type = 0;
  let crc = 0;
  let data = emptyBytes;
  while (reader.position < reader.end) {
    const tag = reader.tag();
    switch (tag) {
      case 8:
        type = reader.int64();
        break;
      case 16:
        crc = reader.uint32();
        break;
      case 26:
        data = reader.view();
        break;
      default:
        skipBeyond(reader, tag, 3);
    }
  }
  return { type, crc, data };
}

function walSnapshotSize(snapshot: WalSnapshot): number {
  const size = 2 + numberSize(snapshot.index) + numberSize(snapshot.term);
  return snapshot.confState === undefined
    ? size
    : size + sizedFieldSize(write.confStateSize(snapshot.confState));
}

function writeWalSnapshot(target: Uint8Array, offset: number, snapshot: WalSnapshot): number {
  let at = writeNumberField(target, offset, 1, snapshot.index);
  at = writeNumberField(target, at, 2, snapshot.term);
  if (snapshot.confState === undefined) return at;
  at = writeFieldStart(target, at, 3, write.confStateSize(snapshot.confState));
  return write.writeConfState(target, at, snapshot.confState);
}

function readWalSnapshot(reader: Reader): WalSnapshot {
  let index = 0;
  let term = 0;
  let confState: ConfState | undefined;
  while (reader.position < reader.end) {
    const tag = reader.tag();
    switch (tag) {
      case 8:
        index = reader.counter("an index");
        break;
      case 16:
        term = reader.counter("a term");
        break;
      case 26:
        confState = readNested(reader, readConfState);
        break;
      default:
        skipBeyond(reader, tag, 3);
    }
  }
  return { index, term, confState };
}

function snapFileSize(file: SnapFile): number {
  return 1 + numberSize(file.crc) + bytesFieldSizeUnlessEmpty(file.data);
}

function writeSnapFile(target: Uint8Array, offset: number, file: SnapFile): number {
  const at = writeNumberField(target, offset, 1, file.crc);
  return writeBytesFieldUnlessEmpty(target, at, 2, file.data);
}

function readSnapFile(reader: Reader): SnapFile {
  let crc = 0;
  let data = emptyBytes;
  while (reader.position < reader.end) {
    const tag = reader.tag();
    switch (tag) {
      case 8:
        crc = reader.uint32();
        break;
      case 18:
        data = reader.view();
        break;
      default:
        skipBeyond(reader, tag, 2);
    }
  }
  return { crc, data };
}
