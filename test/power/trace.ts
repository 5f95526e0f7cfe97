// The recorder's trace, read back: what a member did to its data directory, in order, with a marker wherever a
// client had received an answer.

import { appendFileSync, readFileSync } from "node:fs";

export type TraceEvent =
  | { readonly kind: "create"; readonly path: string; readonly inode: bigint }
  | {
      readonly kind: "write";
      readonly inode: bigint;
      readonly offset: number;
      readonly bytes: Uint8Array;
      /** The file was opened with O_DSYNC: these bytes are durable when the call returns. */
      readonly isSynchronous: boolean;
    }
  | { readonly kind: "truncate"; readonly inode: bigint; readonly bytes: number }
  | { readonly kind: "sync"; readonly inode: bigint }
  | { readonly kind: "syncDirectory"; readonly path: string }
  | { readonly kind: "rename"; readonly path: string; readonly to: string }
  | { readonly kind: "unlink"; readonly path: string }
  | { readonly kind: "mkdir"; readonly path: string }
  /** Mapped writable and shared: what is written to it is not in the trace. */
  | { readonly kind: "map"; readonly path: string; readonly inode: bigint }
  | { readonly kind: "acknowledged"; readonly revision: number };

const headBytes = 24;

/** Adds a marker at the end of the trace. Everything that led to the answer stands before it. */
export function markAcknowledged(traceFile: string, revision: number): void {
  const head = Buffer.alloc(headBytes);
  head.write("A", 0, "latin1");
  head.writeBigUInt64LE(BigInt(revision), 16);
  appendFileSync(traceFile, head);
}

export function readTrace(traceFile: string): TraceEvent[] {
  const trace = readFileSync(traceFile);
  const events: TraceEvent[] = [];
  for (let at = 0; at < trace.length; ) {
    const kind = trace.toString("latin1", at, at + 1);
    const isSynchronous = trace[at + 1] === 1;
    const pathStart = at + headBytes;
    const dataStart = pathStart + trace.readUInt16LE(at + 2);
    const dataEnd = dataStart + trace.readUInt32LE(at + 4);
    const inode = trace.readBigUInt64LE(at + 8);
    const number = Number(trace.readBigUInt64LE(at + 16));
    const path = trace.toString("utf8", pathStart, dataStart);
    const bytes = trace.subarray(dataStart, dataEnd);
    events.push(eventOf({ kind, path, bytes, inode, number, isSynchronous }));
    at = dataEnd;
  }
  return events;
}

interface Fields {
  readonly kind: string;
  readonly path: string;
  readonly bytes: Buffer;
  readonly inode: bigint;
  readonly number: number;
  readonly isSynchronous: boolean;
}

function eventOf({ kind, path, bytes, inode, number, isSynchronous }: Fields): TraceEvent {
  switch (kind) {
    case "C":
      return { kind: "create", path, inode };
    case "W":
      return { kind: "write", inode, offset: number, bytes, isSynchronous };
    case "T":
      return { kind: "truncate", inode, bytes: number };
    case "S":
      return { kind: "sync", inode };
    case "D":
      return { kind: "syncDirectory", path };
    case "R":
      return { kind: "rename", path, to: bytes.toString("utf8") };
    case "U":
      return { kind: "unlink", path };
    case "M":
      return { kind: "mkdir", path };
    case "X":
      return { kind: "map", path, inode };
    case "A":
      return { kind: "acknowledged", revision: number };
    default:
      throw new Error(`the trace has a record of kind ${JSON.stringify(kind)}`);
  }
}
