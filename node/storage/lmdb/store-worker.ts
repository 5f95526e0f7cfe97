// The thread that owns the store's writer. It takes flushes in order, answers each once it is durable, and answers
// nothing more after the first failure.

import { parentPort, workerData } from "node:worker_threads";
import { must } from "../../lib/assert.ts";
import type { EngineSize } from "../../lib/backend.ts";
import type { FatalDetails, FatalReason } from "../../lib/fatal.ts";
import { nodeDisk } from "../disk.ts";
import { extendDataFile, readDataFile } from "./data-file.ts";
import { dataFileName, Environment } from "./environment.ts";
import { availableBytesAt, fatalOfFailedWrite } from "./errors.ts";
import { FlushRecorder } from "./recorded-flushes.ts";
import { reportedSize } from "./size.ts";
import { Turn, type TurnMemory } from "./turn.ts";
import { StoreWriter } from "./writer.ts";

export interface StoreWorkerData {
  readonly folder: string;
  readonly turnMemory: TurnMemory;
}

export type ToStoreWorker =
  /** `recordPath`: the file of a defragmentation that needs this flush too. */
  | {
      readonly kind: "write";
      readonly arena: Uint8Array<ArrayBuffer>;
      readonly recordPath: string | undefined;
    }
  | { readonly kind: "close" };

export type FromStoreWorker =
  | {
      readonly kind: "written";
      readonly size: EngineSize;
      /** Bytes in the file of recorded flushes, or why this one is not in it; undefined when none was asked for. */
      readonly recorded: number | string | undefined;
      /** The flush's own, for another one. */
      readonly spare: ArrayBuffer;
    }
  | {
      readonly kind: "failed";
      readonly reason: FatalReason;
      readonly message: string;
      readonly details: FatalDetails;
    }
  | { readonly kind: "closed" };

const port = must(parentPort ?? undefined, "this file runs as a worker");
const { folder, turnMemory } = workerData as StoreWorkerData;
const turn = new Turn(turnMemory);
const file = `${folder}/${dataFileName}`;
let hasFailed = false;
let environment: Environment | undefined;
let writer: StoreWriter | undefined;
const recorder = new FlushRecorder(nodeDisk);

inTurn(() => {
  guarded(0, () => {
    environment = new Environment(folder);
    writer = new StoreWriter(environment);
  });
});

port.on("message", (message: ToStoreWorker) => {
  if (!turn.take()) return;
  inTurn(() => {
    if (message.kind === "write") {
      guarded(message.arena.length, () => write(message.arena, message.recordPath));
    } else close();
  });
});

/** Gives the turn back however `work` ends. */
function inTurn(work: () => void): void {
  try {
    work();
  } finally {
    turn.giveBack();
  }
}

function write(arena: Uint8Array<ArrayBuffer>, recordPath: string | undefined): void {
  const pageUse = must(writer, "the writer is open").write(arena);
  const dataFile = readDataFile(nodeDisk, file);
  extendDataFile(nodeDisk, file, dataFile);
  const recorded = recorder.record(recordPath, arena);
  const spare = arena.buffer;
  answer({ kind: "written", size: reportedSize(dataFile.fileBytes, pageUse), recorded, spare }, [spare]);
}

function close(): void {
  recorder.record(undefined);
  const finish = (): void => {
    answer({ kind: "closed" });
    port.close();
  };
  if (environment === undefined) finish();
  else environment.close(finish);
}

/** Turns a failure of LMDB or the disk into the last answer. Any other exception is a bug and ends the process. */
function guarded(flushBytes: number, work: () => void): void {
  if (hasFailed) return;
  try {
    work();
  } catch (error) {
    const space = { flushBytes, availableBytes: availableBytesAt(folder) };
    const { reason, message, details } = fatalOfFailedWrite(error, file, space);
    hasFailed = true;
    answer({ kind: "failed", reason, message, details });
  }
}

function answer(message: FromStoreWorker, transfer: ArrayBuffer[] = []): void {
  port.postMessage(message, transfer);
}
