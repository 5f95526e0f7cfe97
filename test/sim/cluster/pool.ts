// Workers that take tasks off a list, one each at a time.

import { Worker } from "node:worker_threads";
import type { Answer, Task } from "./runs.ts";

/** Calls `onAnswer` as each task is done. Fails when a worker does. */
export async function runTasks(
  tasks: readonly Task[],
  workers: number,
  onAnswer: (answer: Answer) => void,
): Promise<void> {
  let next = 0;
  const work = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const worker = new Worker(new URL("worker.ts", import.meta.url));
      const give = (): void => {
        const task = tasks[next++];
        if (task === undefined) void worker.terminate().then(() => resolve());
        else worker.postMessage(task);
      };
      worker.on("error", reject);
      worker.on("message", (answer: Answer) => {
        onAnswer(answer);
        give();
      });
      give();
    });
  await Promise.all(Array.from({ length: workers }, work));
}
