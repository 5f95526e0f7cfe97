// What became of the snapshots that this leader sends, on its way to Raft. Raft asks for the next one as soon as it
// hears that one has failed, so a failure that comes again (a disk without room for the file, a follower that takes
// none) is reported later each time. Success is reported at once.

import type { Clock, Timer } from "../lib/clock.ts";
import type { NodeId } from "../lib/ids.ts";

export interface SnapshotReportsOptions {
  readonly clock: Clock;
  /** Tells Raft. One that is no leader any more, or waits for no snapshot of this peer, takes no notice. */
  readonly report: (peer: NodeId, ok: boolean) => void;
}

/** Of the second failure in a row; each further one waits twice as long. */
const firstDelayMs = 200;
/** Once there is room again, a follower waits no longer than this. */
const delayMsMax = 5_000;

interface Failures {
  readonly count: number;
  readonly due: Timer | undefined;
}

export class SnapshotReports {
  readonly #options: SnapshotReportsOptions;
  /** Of peers whose last snapshot failed. */
  readonly #failures = new Map<NodeId, Failures>();

  constructor(options: SnapshotReportsOptions) {
    this.#options = options;
  }

  succeeded(peer: NodeId): void {
    this.#failures.get(peer)?.due?.cancel();
    this.#failures.delete(peer);
    this.#options.report(peer, true);
  }

  failed(peer: NodeId): void {
    const { clock, report } = this.#options;
    const before = this.#failures.get(peer);
    before?.due?.cancel();
    const count = (before?.count ?? 0) + 1;
    if (before === undefined) {
      this.#failures.set(peer, { count, due: undefined });
      report(peer, false);
      return;
    }
    const delayMs = Math.min(delayMsMax, firstDelayMs * 2 ** (count - 2));
    this.#failures.set(peer, { count, due: clock.after(delayMs, () => report(peer, false)) });
  }

  /** What became of one leadership's snapshots means nothing to the next. */
  clear(): void {
    for (const { due } of this.#failures.values()) due?.cancel();
    this.#failures.clear();
  }
}
