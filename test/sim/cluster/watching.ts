// Watchers of everything, on whichever member: each has to see every revision from where it began, once, in order and
// whole, whatever becomes of the member's store meanwhile.

import { textOf } from "../../../node/lib/bytes.ts";
import { hexId } from "../../../node/lib/ids.ts";
import type { Random } from "../../../node/lib/random.ts";
import type { WatchStream } from "../../../node/mvcc/watch-stream.ts";
import type { Replica } from "../../../node/replica/replica.ts";
import { codecs } from "../../../node/wire/codecs.ts";
import type { Scheduler } from "../scheduler.ts";
import type { History } from "./history.ts";

interface Watch {
  readonly replica: Replica;
  readonly stream: WatchStream;
  /** The next revision that it may see; the first response tells where it begins. */
  next: number;
  isOver: boolean;
}

const watchesMax = 4;
const everyKey = Uint8Array.of(0);

export class Watching {
  readonly #history: History;
  readonly #scheduler: Scheduler;
  #watches: Watch[] = [];

  constructor(history: History, scheduler: Scheduler) {
    this.#history = history;
    this.#scheduler = scheduler;
  }

  /** Begins a watch on the member, of what is to come, of late or of all that is left, or reads from one. */
  act(replica: Replica, random: Random): void {
    const own = this.#watches.filter((watch) => watch.replica === replica && !watch.isOver);
    if (own.length >= watchesMax) {
      for (const watch of own) this.#read(watch, 1 + random.below(20));
      return;
    }
    const { currentRevision, compactRevision } = replica.store;
    const starts = [0, 0, Math.max(1, currentRevision - random.below(30)), Math.max(1, compactRevision)];
    const startRevision = starts[random.below(starts.length)] as number;
    const stream = replica.hub.openStream(() => {}, this.#scheduler.nowMs);
    const watch: Watch = {
      replica,
      stream,
      next: startRevision === 0 ? currentRevision + 1 : startRevision,
      isOver: false,
    };
    stream.create({
      key: everyKey,
      rangeEnd: everyKey,
      startRevision,
      progressNotify: true,
      filters: [],
      prevKv: false,
      watchId: 0n,
      fragment: false,
    });
    // Told at once when nothing lags, and otherwise not at all.
    stream.requestProgress();
    this.#watches.push(watch);
  }

  /** The member is gone, and its watches with it. What it has sent is read, unless it ended in the middle of sending. */
  forget(replica: Replica, isReadable: boolean): void {
    if (isReadable) this.drain(replica);
    this.#watches = this.#watches.filter((watch) => watch.replica !== replica);
  }

  /** Reads everything that is there. */
  drain(replica: Replica): void {
    for (const watch of this.#watches) if (watch.replica === replica) this.#read(watch, 1_000_000);
  }

  #read(watch: Watch, responsesMax: number): void {
    for (let left = responsesMax; left > 0 && !watch.isOver; left--) {
      const response = watch.stream.next();
      if (response === undefined) return;
      if (response.canceled) watch.isOver = true;
      const where = `a watch on ${hexId(watch.replica.nodeId)}`;
      let keys: string[] = [];
      let revision = 0;
      const tell = (): void => {
        if (revision === 0) return;
        this.#history.watch(where, revision, watch.next, keys);
        watch.next = revision + 1;
        keys = [];
      };
      for (const bytes of response.events) {
        const { kv } = codecs.Event.decode(bytes);
        if (kv === undefined) continue;
        if (kv.modRevision !== revision) tell();
        revision = kv.modRevision;
        keys.push(textOf(kv.key));
      }
      tell();
      // Progress: nothing up to there is still to come.
      if (response.events.length === 0 && !response.created && !response.canceled) {
        watch.next = Math.max(watch.next, response.revision + 1);
      }
    }
  }
}
