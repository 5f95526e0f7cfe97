// The storage engine on LMDB. Reads happen here, on the caller's thread, at a read transaction that is renewed when
// a flush completes. Writes happen in a worker thread, fed with one block of bytes a flush, since encoding and
// writing ten thousand records takes tens of milliseconds. It knows nothing of what the records mean. Tested by the
// engine contract, by damaging files, and by walking every store that a test leaves behind.

import { Worker } from "node:worker_threads";
import { packArena } from "../../lib/arena.ts";
import { assert, must } from "../../lib/assert.ts";
import {
  type Bucket,
  buckets,
  type Cursor,
  type DefragmentOutcome,
  type Engine,
  type EngineSize,
  type FlushBatch,
  type KeyRange,
  type StoreGeneration,
} from "../../lib/backend.ts";
import { FatalError } from "../../lib/fatal.ts";
import { extendDataFile, readDataFile } from "./data-file.ts";
import { Defragmentation, type DefragmentationEnd } from "./defragmentation.ts";
import { dataFileName, Environment, lockFileName, pageBytes } from "./environment.ts";
import { availableBytesAt, fatalOfFailedWrite } from "./errors.ts";
import { faultOfFreeList } from "./free-list.ts";
import { probeStore } from "./probe.ts";
import { StoreReader } from "./reader.ts";
import { reserveBytes } from "./recorded-flushes.ts";
import { runningDisk } from "./running-disk.ts";
import { reportedSize } from "./size.ts";
import { type StoreDisk, StoreFolder } from "./store-folder.ts";
import type { FromStoreWorker, StoreWorkerData, ToStoreWorker } from "./store-worker.ts";
import { Turn } from "./turn.ts";

/** A transaction takes tens of milliseconds; a disk that takes longer than this will not finish either. */
const exitWaitMs = 10_000;

/** A larger buffer is not kept for the next flush: so many bytes in a tenth of a second are rare. */
const spareBytesMax = 16 << 20;

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
  readonly #onFatal: (error: FatalError) => void;
  /** Undefined for a generation that is being built: it has no folder of its own to keep. */
  readonly #storeFolder: StoreFolder | undefined;
  readonly #disk: StoreDisk;
  #open: OpenStore;
  #size: EngineSize;
  #onFlushed: (() => void) | undefined;
  #onClosed: (() => void) | undefined;
  /** A flush that waits for the end of a defragmentation. */
  #heldArena: Uint8Array<ArrayBuffer> | undefined;
  /** Of the last flush, for the next one. */
  #spare: ArrayBuffer | undefined;
  #defragmentation: Defragmentation | undefined;
  /** Asked for while a flush was under way: it begins behind it. */
  #defragmentationDue: ((outcome: DefragmentOutcome) => void) | undefined;
  #isClosing = false;
  #hasFailed = false;
  /** Stores that were replaced and are still being closed. */
  #closingCount = 0;

  /** Opens the live generation, or makes the first one. Throws a FatalError when the store cannot be trusted. */
  constructor(options: LmdbEngineOptions) {
    const { memberPath, disk = runningDisk, generation } = options;
    this.#onFatal = options.onFatal;
    this.#disk = disk;
    if (generation === undefined) {
      this.#storeFolder = orFatal(memberPath, () => new StoreFolder(memberPath, disk));
    }
    const folder =
      generation ?? orFatal(memberPath, () => liveGeneration(this.#storeFolder as StoreFolder, disk));
    this.#open = this.#openStore(folder);
    this.#size = reportedSize(
      readDataFile(disk, this.#open.file).fileBytes,
      this.#open.environment.pageUse(),
    );
  }

  get(bucket: Bucket, key: Uint8Array): Uint8Array | undefined {
    return this.#open.reader.get(bucket, key);
  }

  cursor(bucket: Bucket, range: KeyRange): Cursor {
    return this.#open.reader.cursor(bucket, range);
  }

  flush(operations: FlushBatch, done: () => void): void {
    assert(!this.#isClosing, "the engine is open");
    assert(this.#onFlushed === undefined, "one flush at a time");
    this.#onFlushed = done;
    if (this.#hasFailed) return;
    const arena = operations.pack?.(this.#spare) ?? packArena(operations);
    this.#spare = undefined;
    if (this.#defragmentation?.isHolding === true) this.#heldArena = arena;
    else this.#write(arena);
  }

  #write(arena: Uint8Array<ArrayBuffer>): void {
    this.#defragmentation?.onFlushBegins();
    const recordPath = this.#defragmentation?.recordPath;
    post(this.#open, { kind: "write", arena, recordPath }, [arena.buffer]);
  }

  size(): EngineSize {
    return this.#size;
  }

  /** The folder of a further generation. Whoever fills it seals it, or discards it. */
  beginGeneration(): string {
    return this.#folder().begin();
  }

  /** The generation in that folder is whole, synced and closed. */
  sealGeneration(path: string): StoreGeneration {
    this.#folder().seal(path);
    return new LmdbGeneration(this.#folder(), path);
  }

  discardGeneration(path: string): void {
    this.#folder().discard(path);
  }

  install(generation: StoreGeneration): void {
    assert(generation instanceof LmdbGeneration, "the generation is of this kind of engine");
    assert(this.#onFlushed === undefined, "no flush is under way");
    assert(!this.#isClosing, "the engine is open");
    this.#cancelDefragmentation();
    this.#folder().publish(generation.path);
    this.#switchTo(generation.path);
  }

  /** Needs as much space as is in use, and what is flushed until it ends. */
  defragment(done: (outcome: DefragmentOutcome) => void): void {
    assert(!this.#isClosing, "the engine is open");
    if (this.#defragmentation !== undefined || this.#defragmentationDue !== undefined) {
      done({ ok: false, reason: "underWay" });
      return;
    }
    const neededBytes = this.#size.sizeInUseBytes + buckets.length * pageBytes + reserveBytes;
    const availableBytes = availableBytesAt(this.#open.folder);
    if (availableBytes < neededBytes) {
      done({ ok: false, reason: "noSpace", neededBytes, availableBytes });
      return;
    }
    if (this.#onFlushed === undefined) this.#beginDefragmentation(done);
    else this.#defragmentationDue = done;
  }

  #beginDefragmentation(done: (outcome: DefragmentOutcome) => void): void {
    this.#defragmentation = new Defragmentation({
      source: this.#open.folder,
      target: this.#folder().begin(),
      onReleased: () => {
        const arena = this.#heldArena;
        this.#heldArena = undefined;
        if (arena !== undefined) this.#write(arena);
      },
      onEnded: (end) => done(this.#endDefragmentation(end)),
    });
  }

  #endDefragmentation(end: DefragmentationEnd): DefragmentOutcome {
    const { target } = must(this.#defragmentation, "a defragmentation is under way");
    this.#defragmentation = undefined;
    if (end.kind === "whole") {
      this.#folder().replaceLive(target);
      this.#switchTo(target);
      return { ok: true };
    }
    this.#folder().removeDead(target);
    if (end.kind === "damaged") {
      this.#fail(new FatalError("STORE_DAMAGED", end.text, { file: this.#open.file }));
    }
    this.#closeIfDue();
    return end.kind === "interrupted"
      ? { ok: false, reason: "interrupted" }
      : { ok: false, reason: "failed", text: end.text };
  }

  #cancelDefragmentation(): void {
    const due = this.#defragmentationDue;
    this.#defragmentationDue = undefined;
    due?.({ ok: false, reason: "interrupted" });
    this.#defragmentation?.cancel();
  }

  /** The store in that folder is the live one by now. */
  #switchTo(folder: string): void {
    const before = this.#open;
    this.#open = this.#openStore(folder);
    this.#size = reportedSize(
      readDataFile(this.#disk, this.#open.file).fileBytes,
      this.#open.environment.pageUse(),
    );
    this.#closingCount++;
    before.onClosed = () => {
      this.#folder().removeDead(before.folder);
      this.#closingCount--;
      this.#closeIfDue();
    };
    post(before, { kind: "close" }, []);
  }

  close(done: () => void): void {
    assert(!this.#isClosing, "the engine is closed once");
    this.#isClosing = true;
    this.#onClosed = done;
    this.#cancelDefragmentation();
    this.#closeIfDue();
  }

  #closeIfDue(): void {
    if (!this.#isClosing || this.#closingCount > 0 || this.#defragmentation !== undefined) return;
    this.#close();
  }

  #close(): void {
    this.#open.onClosed = () => this.#onClosed?.();
    // The worker takes its messages in order: a flush under way is finished and answered first.
    post(this.#open, { kind: "close" }, []);
  }

  #folder(): StoreFolder {
    return must(this.#storeFolder, "the engine keeps the live generation");
  }

  #openStore(folder: string): OpenStore {
    const file = `${folder}/${dataFileName}`;
    const environment = orFatal(folder, () => new Environment(folder));
    const disk = this.#disk;
    const reader = orFatal(
      folder,
      () => new StoreReader({ environment, file, disk, onFatal: (error) => this.#fail(error) }),
    );
    const turn = new Turn();
    const worker = startWorker({ folder, turnMemory: turn.memory });
    const onExit = (): void => turn.end(exitWaitMs);
    const store: OpenStore = { folder, file, environment, reader, worker, onExit, onClosed: undefined };
    worker.on("message", (message: FromStoreWorker) => this.#onMessage(store, message));
    process.on("exit", onExit);
    // Only a bug gets here: failures of LMDB and the disk come as messages.
    worker.on("error", (error) => {
      throw error;
    });
    return store;
  }

  #onMessage(store: OpenStore, message: FromStoreWorker): void {
    switch (message.kind) {
      case "written": {
        const done = this.#onFlushed;
        assert(done !== undefined && store === this.#open, "a flush of the live store is under way");
        this.#onFlushed = undefined;
        this.#size = message.size;
        this.#spare = message.spare.byteLength <= spareBytesMax ? message.spare : undefined;
        store.reader.renew();
        this.#defragmentation?.onFlushEnds(message.recorded);
        const due = this.#defragmentationDue;
        this.#defragmentationDue = undefined;
        if (due !== undefined) this.#beginDefragmentation(due);
        done();
        return;
      }
      case "failed":
        this.#fail(new FatalError(message.reason, message.message, message.details));
        return;
      case "closed":
        process.off("exit", store.onExit);
        store.reader.close();
        store.environment.close(() => store.onClosed?.());
    }
  }

  #fail(error: FatalError): void {
    if (this.#hasFailed) return;
    this.#hasFailed = true;
    this.#onFatal(error);
  }
}

/** What belongs to one generation while it is open. */
interface OpenStore {
  readonly folder: string;
  readonly file: string;
  readonly environment: Environment;
  readonly reader: StoreReader;
  readonly worker: Worker;
  readonly onExit: () => void;
  onClosed: (() => void) | undefined;
}

class LmdbGeneration implements StoreGeneration {
  readonly path: string;
  readonly #storeFolder: StoreFolder;

  constructor(storeFolder: StoreFolder, path: string) {
    this.#storeFolder = storeFolder;
    this.path = path;
  }

  announce(index: number): void {
    this.#storeFolder.announce(this.path, index);
  }

  discard(): void {
    this.#storeFolder.discard(this.path);
  }
}

function post({ worker }: OpenStore, message: ToStoreWorker, transfer: ArrayBuffer[]): void {
  worker.postMessage(message, transfer);
}

/** The path of a generation that is live and safe to open. No environment on it is open. */
function liveGeneration(storeFolder: StoreFolder, disk: StoreDisk): string {
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
