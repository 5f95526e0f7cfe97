// The thread that writes a store anew: every record of the old file, checked and in order, appended to the new one,
// then the flushes that came meanwhile. Copying records instead of pages fills the new pages, and no damaged record
// gets across unseen. Between two batches it looks for messages, and the process may end there.

import { parentPort, workerData } from "node:worker_threads";
import { packArena } from "../../lib/arena.ts";
import { must } from "../../lib/assert.ts";
import { type Bucket, buckets, type EngineOperation } from "../../lib/backend.ts";
import { emptyBytes } from "../../lib/bytes.ts";
import type { FatalError } from "../../lib/fatal.ts";
import { nodeDisk } from "../disk.ts";
import { extendDataFile, readDataFile } from "./data-file.ts";
import { dataFileName, Environment } from "./environment.ts";
import { availableBytesAt } from "./errors.ts";
import { StoreReader } from "./reader.ts";
import { RecordedFlushes, reserveBytes } from "./recorded-flushes.ts";
import { sealGeneration } from "./store-folder.ts";
import { Turn, type TurnMemory } from "./turn.ts";
import { StoreWriter } from "./writer.ts";

export interface DefragmentWorkerData {
  /** The folder of the live generation, open in this process. */
  readonly source: string;
  /** The empty folder of the new one. */
  readonly target: string;
  /** The file of the recorded flushes, inside the target. */
  readonly recordPath: string;
  readonly turnMemory: TurnMemory;
}

export type ToDefragmentWorker =
  /** Apply the recorded flushes up to this place in their file. */
  | { readonly kind: "replay"; readonly end: number }
  /** Nothing more was flushed: make the new store whole. */
  | { readonly kind: "finish" }
  /** Stop, and close everything. */
  | { readonly kind: "cancel" };

export type FromDefragmentWorker =
  | { readonly kind: "copied" }
  | { readonly kind: "replayed"; readonly end: number }
  /** The last message: both stores are closed here. The target is whole and sealed when `isWhole`. */
  | { readonly kind: "ended"; readonly isWhole: boolean }
  /** The last message too. `isDamaged`: the live store holds a record that cannot be trusted. */
  | { readonly kind: "failed"; readonly text: string; readonly isDamaged: boolean };

/** One transaction of the copy: large enough to fill pages and spare syncs, and far below what a slice may take. */
const batchRecordsMax = 10_000;
const batchBytesMax = 8 * 1024 * 1024;

const port = must(parentPort ?? undefined, "this file runs as a worker");
const { source, target, recordPath, turnMemory } = workerData as DefragmentWorkerData;
const turn = new Turn(turnMemory);
const inbox: ToDefragmentWorker[] = [];
let isCancelled = false;
let wake: () => void = () => {};
port.on("message", (message: ToDefragmentWorker) => {
  if (message.kind === "cancel") isCancelled = true;
  else inbox.push(message);
  wake();
});

/** The process is ending, and does not wait for more. */
class Ending extends Error {}

/** The live store cannot be trusted. */
class Damage extends Error {}

run().then(answer, (error: unknown) => {
  if (error instanceof Ending) return;
  const text = error instanceof Error ? error.message : String(error);
  answer({ kind: "failed", text, isDamaged: error instanceof Damage });
});

async function run(): Promise<FromDefragmentWorker> {
  turn.giveBack();
  const environment = inTurn(() => new Environment(target));
  try {
    await copy(environment);
    if (!isCancelled) answer({ kind: "copied" });
    await replay(environment);
  } finally {
    await new Promise<void>((done) => environment.close(done));
  }
  if (isCancelled) return { kind: "ended", isWhole: false };
  if (nodeDisk.stat(recordPath) !== undefined) nodeDisk.unlink(recordPath);
  const file = `${target}/${dataFileName}`;
  extendDataFile(nodeDisk, file, readDataFile(nodeDisk, file));
  sealGeneration(nodeDisk, target);
  return { kind: "ended", isWhole: true };
}

/** Copies one view of the old store, however long it takes. */
async function copy(environment: Environment): Promise<void> {
  const writer = new StoreWriter(environment, { isCopying: true });
  const old = new Environment(source);
  let damage: FatalError | undefined;
  const onFatal = (error: FatalError): void => {
    if (error.reason === "STORE_DAMAGED") damage = error;
  };
  const reader = new StoreReader({ environment: old, file: `${source}/${dataFileName}`, onFatal });
  try {
    for (const bucket of buckets) {
      let start: Uint8Array | undefined = emptyBytes;
      while (start !== undefined && !isCancelled) {
        start = copyBatch(reader, writer, bucket, start);
        await turnOfEventLoop();
      }
    }
  } catch (error) {
    throw damage === undefined ? error : new Damage(damage.message, { cause: damage });
  } finally {
    reader.close();
    await new Promise<void>((done) => old.close(done));
  }
}

/** Returns where the next batch begins; undefined behind the last record. */
function copyBatch(
  reader: StoreReader,
  writer: StoreWriter,
  bucket: Bucket,
  start: Uint8Array,
): Uint8Array | undefined {
  const operations: EngineOperation[] = [];
  let bytes = 0;
  let isLast = false;
  const cursor = reader.cursor(bucket, { start });
  while (operations.length < batchRecordsMax && bytes < batchBytesMax) {
    if (!cursor.next()) {
      isLast = true;
      break;
    }
    const { key, value } = cursor;
    operations.push({ bucket, key, value });
    bytes += key.length + value.length;
  }
  cursor.close();
  if (operations.length > 0) write(writer, packArena(operations));
  const last = operations.at(-1);
  return isLast || last === undefined ? undefined : behind(last.key);
}

/** The least key above `key`. */
function behind(key: Uint8Array): Uint8Array {
  const next = new Uint8Array(key.length + 1);
  next.set(key);
  return next;
}

async function replay(environment: Environment): Promise<void> {
  const writer = new StoreWriter(environment);
  const flushes = new RecordedFlushes(nodeDisk, recordPath);
  while (!isCancelled) {
    const message = inbox.shift();
    if (message === undefined) await new Promise<void>((resolve) => (wake = resolve));
    else if (message.kind === "finish") return;
    else if (message.kind === "replay") {
      while (flushes.position < message.end && !isCancelled) {
        write(writer, flushes.next());
        await turnOfEventLoop();
      }
      answer({ kind: "replayed", end: message.end });
    }
  }
}

function write(writer: StoreWriter, arena: Uint8Array): void {
  const available = availableBytesAt(target);
  if (available < reserveBytes + arena.byteLength) {
    throw new Error(`${available} bytes are left on the disk, less than the ${reserveBytes} that stay free`);
  }
  inTurn(() => writer.write(arena));
}

/** A transaction begins only while the process is not ending. */
function inTurn<T>(work: () => T): T {
  if (!turn.take()) throw new Ending();
  try {
    return work();
  } finally {
    turn.giveBack();
  }
}

function turnOfEventLoop(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function answer(message: FromDefragmentWorker): void {
  port.postMessage(message);
  if (message.kind === "ended" || message.kind === "failed") port.close();
}
