// A child process of the engine's tests: flushes without end into the store at argv[2], prints the number of each
// flush that is done, and ends with the exit code of the failure that stops it.

import type { EngineOperation } from "../../lib/backend.ts";
import { textOf, utf8 } from "../../lib/bytes.ts";
import { exitCodes } from "../../lib/fatal.ts";
import { LmdbEngine } from "./engine.ts";

const recordsPerFlush = 100;

const engine = new LmdbEngine({
  memberPath: process.argv[2] ?? "",
  onFatal: (error) => {
    process.stderr.write(`${error.reason} ${error.message}\n`);
    process.exit(exitCodes[error.reason]);
  },
});

function flush(n: number): void {
  const operations: EngineOperation[] = [];
  for (const bucket of ["key", "index"] as const) {
    for (let i = 0; i < recordsPerFlush; i++) {
      const number = (n - 1) * recordsPerFlush + i;
      operations.push({
        bucket,
        key: utf8(String(number).padStart(9, "0")),
        value: utf8(`v${number}`.padEnd(300, ".")),
      });
    }
  }
  operations.splice(recordsPerFlush, 0, { bucket: "meta", key: utf8("n"), value: utf8(String(n)) });
  engine.flush(operations, () => {
    process.stdout.write(`${n}\n`);
    flush(n + 1);
  });
}

flush(Number(textOf(engine.get("meta", utf8("n")) ?? utf8("0"))) + 1);
