// Reads every record of a closed store and checks its envelope: the integrity walk of tests and offline commands.
// In a file damaged below the records LMDB may kill the process; `probe.ts` runs this in a child for that reason.

import { type Bucket, buckets } from "../../lib/backend.ts";
import { emptyBytes } from "../../lib/bytes.ts";
import { Environment } from "./environment.ts";
import { StoreReader } from "./reader.ts";

/** Throws the FatalError of the first damaged record. Calls back with the number of records in each bucket. */
export function walkStore(folder: string, done: (counts: ReadonlyMap<Bucket, number>) => void): void {
  const environment = new Environment(folder, { readOnly: true });
  const reader = new StoreReader({ environment, file: folder, onFatal: () => {} });
  const counts = new Map<Bucket, number>();
  try {
    for (const bucket of buckets) {
      const cursor = reader.cursor(bucket, { start: emptyBytes });
      let count = 0;
      while (cursor.next()) count++;
      counts.set(bucket, count);
    }
  } finally {
    reader.close();
    environment.close(() => done(counts));
  }
}
