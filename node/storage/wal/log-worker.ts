// The log worker's thread. It calls the disk synchronously, so it shares neither libuv's pool nor the main
// thread with anybody.

import { workerData } from "node:worker_threads";
import { nodeDisk } from "../disk.ts";
import { type LogWorkerData, runLogLoop } from "./log-loop.ts";

runLogLoop(workerData as LogWorkerData, nodeDisk);
