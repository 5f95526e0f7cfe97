import assert from "node:assert/strict";
import { test } from "node:test";
import { FatalError } from "../../lib/fatal.ts";
import { SeededRandom } from "../../lib/random.ts";
import { openLog } from "./open-log.ts";
import { appendSynced, entry, hardState, newLog, reopened } from "./testing/log.ts";

test("what a failed sync left in the page cache is written again before it counts as durable", () => {
  const { disk, options, wal } = newLog();
  appendSynced(wal, [entry(1), entry(2)]);
  wal.appendEntry(entry(3));
  wal.appendHardState(hardState(2));
  wal.write();
  disk.failAfter(0, "EIO");
  assert.throws(() => wal.sync(), FatalError);
  disk.kill();

  const { wal: again, log } = reopened(options);
  assert.equal(log.contents.entries.length, 3);
  appendSynced(again, [entry(4)]);
  disk.crash(new SeededRandom(1));

  assert.deepEqual(
    openLog(options).contents.entries.map(({ index }) => index),
    [1, 2, 3, 4],
  );
});
