// Makes a store out of a snapshot that another member sent, in a thread of its own.

import { Worker } from "node:worker_threads";
import { FatalError } from "../lib/fatal.ts";
import type { ReceivedWorkerAnswer, ReceivedWorkerData } from "./received-worker.ts";

/**
 * Resolves when the generation's folder holds the whole store on disk. Rejects with what is wrong with the file, or with
 * a FatalError where the member cannot go on: it holds what this version must not serve, or the disk has failed.
 */
export function buildReceivedStore(data: ReceivedWorkerData): Promise<void> {
  const name = import.meta.url.endsWith(".ts") ? "./received-worker.ts" : "./received-worker.js";
  const worker = new Worker(new URL(name, import.meta.url), { name: "snapshot", workerData: data });
  return new Promise((resolve, reject) => {
    let answer: ReceivedWorkerAnswer | undefined;
    worker.on("message", (message: ReceivedWorkerAnswer) => {
      answer = message;
      void worker.terminate();
    });
    worker.on("error", reject);
    worker.on("exit", () => {
      if (answer === undefined) reject(new Error("the thread that builds the store ended without an answer"));
      else if (answer.ok) resolve();
      else
        reject(
          answer.reason === undefined ? new Error(answer.text) : new FatalError(answer.reason, answer.text),
        );
    });
  });
}
