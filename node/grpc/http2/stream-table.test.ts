import assert from "node:assert/strict";
import { test } from "node:test";
import { SeededRandom } from "../../lib/random.ts";
import { Stream, type StreamOwner } from "./stream.ts";
import { StreamTable } from "./stream-table.ts";

const owner: StreamOwner = { onData() {}, onEnd() {}, onReset() {}, onRoom() {}, onOverload() {} };

function streamOf(id: number): Stream {
  return new Stream({
    id,
    owner,
    isRemoteOpen: true,
    sendWindow: 0,
    receiveWindow: 0,
    bodyBytes: undefined,
  });
}

test("the table holds what a plain map holds, with streams that come and go and some that stay", () => {
  for (let seed = 1; seed <= 20; seed++) {
    const random = new SeededRandom(seed);
    const table = new StreamTable();
    const model = new Map<number, Stream>();
    const openMax = 1 + random.below(200);
    let id = 1;
    for (let step = 0; step < 5000; step++) {
      if (model.size < openMax && random.below(2) === 0) {
        const stream = streamOf(id);
        table.add(stream);
        model.set(id, stream);
        id += 2 * (1 + random.below(random.below(20) === 0 ? 5000 : 2));
      } else {
        const ids = [...model.keys()];
        // Mostly one of the oldest, but never the very first, as with a watch.
        const gone = ids[1 + random.below(random.below(4) === 0 ? ids.length : 3)] ?? id;
        table.delete(gone);
        model.delete(gone);
      }
      assert.equal(table.size, model.size);
      const probe = 1 + 2 * random.below(id);
      assert.equal(table.get(probe), model.get(probe));
      if (step % 100 === 0) {
        for (const [known, stream] of model) assert.equal(table.get(known), stream);
        assert.deepEqual(
          table.all().map((stream) => stream.id),
          [...model.keys()],
        );
      }
    }
  }
});
