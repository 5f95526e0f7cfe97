// The Snapshot call: the whole store as an etcd snapshot file in pieces, and the file's SHA-256 as the last one.
//
// A snapshot is written to a spool file first, in slices between which everything else goes on; compactions wait
// only for that. Then the file is sent as fast as the client takes it.

import { createHash } from "node:crypto";
import type { Logger } from "../lib/log.ts";
import { codecs } from "../wire/codecs.ts";
import type { SnapshotRequest, SnapshotResponse } from "../wire/rpc.ts";
import type { Call } from "./call.ts";
import { ApiError, apiError } from "./errors.ts";
import type { MemberApi } from "./member-api.ts";
import { buildSnapshot } from "./snapshot-build.ts";
import type { SnapshotFile, SnapshotSpool } from "./snapshot-port.ts";

/** As etcd sends it. */
export const chunkBytes = 32 * 1024;
const readBytes = 8 * chunkBytes;
/** Each takes disk space of the size of the store. */
const runningMax = 4;
const waitingMax = 16;
const stallSeconds = 60;

export interface SnapshotServiceOptions {
  readonly api: MemberApi;
  readonly spool: SnapshotSpool;
  readonly log: Logger;
}

export class SnapshotService {
  readonly #api: MemberApi;
  readonly #spool: SnapshotSpool;
  readonly #log: Logger;
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor({ api, spool, log }: SnapshotServiceOptions) {
    this.#api = api;
    this.#spool = spool;
    this.#log = log;
  }

  async *snapshot(_request: SnapshotRequest, call: Call): AsyncIterable<SnapshotResponse> {
    await this.#enter();
    try {
      const built = await buildSnapshot(this.#api, this.#spool, () => call.isCancelled);
      if (built === undefined) return;
      try {
        yield* this.#send(built.file, call);
      } finally {
        await built.file.close();
      }
    } catch (error) {
      throw asApiError(error);
    } finally {
      this.#leave();
    }
  }

  async *#send(file: SnapshotFile, call: Call): AsyncGenerator<SnapshotResponse> {
    const { clock } = this.#api.options;
    const { storageVersion } = this.#api.replica.applier;
    const fields = { "total-bytes": file.bytes, "storage-version": storageVersion };
    const startedMs = clock.nowMs();
    this.#log.info("sending database snapshot to client", fields);
    const sha = createHash("sha256");
    let position = 0;
    const piece = (blob: Uint8Array, remainingBytes: number): SnapshotResponse =>
      codecs.SnapshotResponse.create({ blob, remainingBytes, version: storageVersion });
    // What runs on while this generator waits at a yield is only the timer.
    const stalled = (): void => {
      this.#log.warn("cut off a client that takes nothing of its snapshot", { ...fields, sent: position });
      const text = `etcdserver: the client took nothing of the snapshot for ${stallSeconds}s`;
      call.abort(new ApiError("Aborted", text));
    };
    while (position < file.bytes) {
      const block = await file.read(position, readBytes);
      sha.update(block);
      for (let at = 0; at < block.length; at += chunkBytes) {
        const blob = block.subarray(at, at + chunkBytes);
        position += blob.length;
        const timer = clock.after(stallSeconds * 1000, stalled);
        try {
          yield piece(blob, file.bytes - position);
        } finally {
          timer.cancel();
        }
      }
    }
    const digest = sha.digest();
    this.#log.info("sending database sha256 checksum to client", {
      "total-bytes": file.bytes,
      "checksum-size": digest.length,
    });
    yield piece(digest, 0);
    const took = `${(clock.nowMs() - startedMs).toFixed(3)}ms`;
    this.#log.info("successfully sent database snapshot to client", { ...fields, took });
  }

  async #enter(): Promise<void> {
    if (this.#running < runningMax) {
      this.#running++;
      return;
    }
    if (this.#waiting.length >= waitingMax) throw apiError("tooManyRequests");
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  /** Hands the place on, or gives it back. */
  #leave(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#running--;
    else next();
  }
}

/** A disk that cannot take the spool file ends the call, not the member. */
function asApiError(error: unknown): unknown {
  if (!(error instanceof Error) || !("syscall" in error)) return error;
  const { code, message } = error as NodeJS.ErrnoException;
  return code === "ENOSPC" || code === "EDQUOT"
    ? new ApiError("ResourceExhausted", `etcdserver: no space for a snapshot in the data directory`)
    : new ApiError("Unknown", `etcdserver: cannot write a snapshot: ${message}`);
}
