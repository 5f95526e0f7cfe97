// A log worker whose disk fails once a file exists beside the log, as a test asks it to.

import { existsSync } from "node:fs";
import { workerData } from "node:worker_threads";
import { nodeDisk } from "../../disk.ts";
import { type LogWorkerData, runLogLoop } from "../log-loop.ts";

const data = workerData as LogWorkerData;

runLogLoop(data, {
  ...nodeDisk,
  fdatasync(file) {
    for (const code of ["EIO", "ENOSPC"]) {
      if (existsSync(`${data.memberDir}/${code}`)) throw Object.assign(new Error(code), { code });
    }
    nodeDisk.fdatasync(file);
  },
});
