// A worker of the cluster simulator: carries out one task after the other.

import { parentPort } from "node:worker_threads";
import { assert } from "../../../node/lib/assert.ts";
import { carryOut, type Task } from "./runs.ts";

assert(parentPort !== null, "a worker has a parent");
const parent = parentPort;
parent.on("message", (task: Task) => parent.postMessage(carryOut(task)));
