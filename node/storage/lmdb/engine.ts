// The storage engine on LMDB. Reads happen here, on the caller's thread, at a read transaction that is renewed when
// a flush completes. Writes happen in a worker thread, fed with one block of bytes a flush, since encoding and
// writing ten thousand records takes tens of milliseconds. It knows nothing of what the records mean. Tested by the
// engine contract, by damaging files, and by walking every store that a test leaves behind.

import { Worker } from "node:worker_threads";
import { assert } from "../../lib/assert.ts";
import type { Bucket, Cursor, Engine, EngineOperation, EngineSize, KeyRange } from "../../lib/backend.ts";
import { FatalError } from "../../lib/fatal.ts";
import { packArena } from "./arena.ts";
import { extendDataFile, readDataFile } from "./data-file.ts";
import { dataFileName, Environment, lockFileName } from "./environment.ts";
import { availableBytesAt, fatalOfFailedWrite } from "./errors.ts";
import { faultOfFreeList } from "./free-list.ts";
import { probeStore } from "./probe.ts";
import { StoreReader } from "./reader.ts";
import { reportedSize } from "./size.ts";
import { nodeStoreDisk, type StoreDisk, StoreFolder } from "./store-folder.ts";
import type { FromStoreWorker, StoreWorkerData, ToStoreWorker } from "./store-worker.ts";
import { Turn } from "./turn.ts";

/** A transaction takes tens of milliseconds; a disk that takes longer than this will not finish either. */
const exitWaitMs = 10_000;

export interface LmdbEngineOptions {
  /** The folder member/, locked by this process. */
  readonly memberPath: string;
  /** Called at most once, with the reason for which the engine will never again flush or be read. */
  readonly onFatal: (error: FatalError) => void;
  readonly disk?: StoreDisk;
  /** A generation that was begun and is not live yet, in place of the live one. */
  readonly generation?: string;
}

export class LmdbEngine implements Engine {
  readonly #environment: Environment;
  readonly #reader: StoreReader;
  readonly #worker: Worker;
  readonly #turn = new Turn();
  readonly #onExit = (): void => this.#turn.end(exitWaitMs);
  readonly #file: string;
  readonly #onFatal: (error: FatalError) => void;
  #size: EngineSize;
  #onFlushed: (() => void) | undefined;
  #onClosed: (() => void) | undefined;
  #isClosing = false;
  #hasFailed = false;

  /** Opens the live generation, or makes the first one. Throws a FatalError when the store cannot be trusted. */
  constructor(options: LmdbEngineOptions) {
    const disk = options.disk ?? nodeStoreDisk;
    const folder =
      options.generation ?? orFatal(options.memberPath, () => openLive(options.memberPath, disk));
    this.#file = `${folder}/${dataFileName}`;
    this.#onFatal = options.onFatal;
    this.#environment = orFatal(folder, () => new Environment(folder));
    this.#reader = new StoreReader({
      environment: this.#environment,
      file: this.#file,
      onFatal: (error) => this.#fail(error),
    });
    this.#size = reportedSize(readDataFile(disk, this.#file).fileBytes, this.#environment.pageUse());
    this.#worker = startWorker({ folder, turnMemory: this.#turn.memory });
    this.#worker.on("message", (message: FromStoreWorker) => this.#onMessage(message));
    process.on("exit", this.#onExit);
    // Only a bug gets here: failures of LMDB and the disk come as messages.
    this.#worker.on("error", (error) => {
      throw error;
    });
  }

  get(bucket: Bucket, key: Uint8Array): Uint8Array | undefined {
    return this.#reader.get(bucket, key);
  }

  cursor(bucket: Bucket, range: KeyRange): Cursor {
    return this.#reader.cursor(bucket, range);
  }

  flush(operations: Iterable<EngineOperation>, done: () => void): void {
    assert(!this.#isClosing, "the engine is open");
    assert(this.#onFlushed === undefined, "one flush at a time");
    this.#onFlushed = done;
    if (this.#hasFailed) return;
    const arena = packArena(operations);
    this.#post({ kind: "write", arena }, [arena]);
  }

  size(): EngineSize {
    return this.#size;
  }

  close(done: () => void): void {
    assert(!this.#isClosing, "the engine is closed once");
    this.#isClosing = true;
    this.#onClosed = done;
    // The worker takes its messages in order: a flush under way is finished and answered first.
    this.#post({ kind: "close" }, []);
  }

  #post(message: ToStoreWorker, transfer: ArrayBuffer[]): void {
    this.#worker.postMessage(message, transfer);
  }

  #onMessage(message: FromStoreWorker): void {
    switch (message.kind) {
      case "written": {
        const done = this.#onFlushed;
        assert(done !== undefined, "a flush is under way");
        this.#onFlushed = undefined;
        this.#size = message.size;
        this.#reader.renew();
        done();
        return;
      }
      case "failed":
        this.#fail(new FatalError(message.reason, message.message, message.details));
        return;
      case "closed":
        process.off("exit", this.#onExit);
        this.#reader.close();
        this.#environment.close(() => this.#onClosed?.());
    }
  }

  #fail(error: FatalError): void {
    if (this.#hasFailed) return;
    this.#hasFailed = true;
    this.#onFatal(error);
  }
}

/** The path of a generation that is live and safe to open. No environment on it is open. */
function openLive(memberPath: string, disk: StoreDisk): string {
  const storeFolder = new StoreFolder(memberPath, disk);
  const live = storeFolder.livePath ?? createGeneration(storeFolder);
  const file = `${live}/${dataFileName}`;
  if (disk.stat(file) === undefined) {
    throw new FatalError("STORE_DAMAGED", `${file} is missing`, { file });
  }
  const dataFile = readDataFile(disk, file);
  if (dataFile.isShort) {
    const fault = faultOfFreeList(disk, file, dataFile) ?? probeStore(live);
    if (fault !== undefined) {
      const text = `${file} ends at ${dataFile.fileBytes}, before its last page: ${fault}`;
      throw new FatalError("STORE_DAMAGED", text, { file, offset: dataFile.fileBytes });
    }
    extendDataFile(disk, file, dataFile);
  }
  // Reader slots and lock states of dead processes. LMDB tells them by process id, and in a container every process
  // has the same one: a slot left behind would keep pages from being used again.
  const lockFile = `${live}/${lockFileName}`;
  if (disk.stat(lockFile) !== undefined) disk.unlink(lockFile);
  return live;
}

/** A store with every bucket and no record. */
function createGeneration(storeFolder: StoreFolder): string {
  const path = storeFolder.begin();
  const environment = new Environment(path);
  storeFolder.publish(path);
  environment.close(() => {});
  return path;
}

/** Opening writes a little too, so a full disk is told apart here as well. */
function orFatal<T>(path: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw fatalOfFailedWrite(error, path, { flushBytes: 0, availableBytes: availableBytesAt(path) });
  }
}

function startWorker(workerData: StoreWorkerData): Worker {
  const name = import.meta.url.endsWith(".ts") ? "./store-worker.ts" : "./store-worker.js";
  return new Worker(new URL(name, import.meta.url), { name: "store", workerData });
}
