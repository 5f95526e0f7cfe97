// Defects planted from outside, by what stands between the replica and its ports: the simulator must find each.

import type { Engine } from "../../node/lib/backend.ts";
import type { Clock } from "../../node/lib/clock.ts";
import type { LogStore } from "../../node/replica/log-store.ts";
import type { Replica } from "../../node/replica/replica.ts";
import {
  CarelessCommitLog,
  EagerCompactionEngine,
  ForgivingDisk,
  HastyLog,
  NoDirectorySyncDisk,
  NoSyncDisk,
  TwoFlushEngine,
} from "./defects.ts";
import type { DiskCall, SimDisk } from "./disk.ts";
import type { PromiseName } from "./promises.ts";

export interface Mutant {
  readonly name: string;
  /** One of these is what must be noticed. */
  readonly breaks: readonly PromiseName[];
  readonly makeDisk?: (observe: (call: DiskCall) => void) => SimDisk;
  readonly wrapLog?: (log: LogStore, clock: Clock) => LogStore;
  readonly wrapEngine?: (engine: Engine) => Engine;
  readonly wrapClock?: (clock: Clock) => Clock;
  /** Changes the parts of a replica that has not started. */
  readonly patch?: (replica: Replica) => void;
}

const losses: readonly PromiseName[] = ["appliedEntriesSurvive", "acknowledgedWritesSurvive", "bootSucceeds"];

export const mutants: readonly Mutant[] = [
  {
    name: "answers before the log is synced",
    breaks: ["committedIsDurable"],
    wrapLog: (log, clock) => new HastyLog(log, clock),
  },
  {
    name: "does not sync its files",
    breaks: losses,
    makeDisk: (observe) => new NoSyncDisk(observe),
  },
  {
    name: "does not sync directories",
    breaks: losses,
    makeDisk: (observe) => new NoDirectorySyncDisk(observe),
  },
  {
    name: "ignores a failed sync",
    breaks: ["failureEndsTheMember"],
    makeDisk: (observe) => new ForgivingDisk(observe),
  },
  {
    name: "flushes before the commit is durable",
    breaks: ["storeIsNotAheadOfTheLog"],
    wrapLog: (log, clock) => new CarelessCommitLog(log, clock),
  },
  {
    name: "writes the applied index in a flush of its own",
    breaks: ["storeEqualsAReplay"],
    wrapEngine: (engine) => new TwoFlushEngine(engine),
  },
  {
    name: "removes the tombstone at the compacted revision",
    breaks: ["storeEqualsAReplay", "watchReliable", "eachRevisionIsOneWrite"],
    wrapEngine: (engine) => new EagerCompactionEngine(engine),
  },
  {
    name: "expires leases by a fast clock",
    breaks: ["leasesAreNotRevokedEarly"],
    wrapClock: (clock) => ({
      nowMs: () => clock.nowMs() * 1.5,
      after: (delayMs, fn) => clock.after(delayMs, fn),
      defer: (fn) => clock.defer(fn),
    }),
  },
  {
    name: "deletes keys that have left their lease",
    breaks: ["leasesDeleteOnlyAttachedKeys", "leaseAnswersAreTrue", "storeEqualsAReplay"],
    patch: ({ lessor }) => {
      lessor.detach = () => {};
    },
  },
  {
    name: "skips a revision when a watch catches up",
    breaks: ["watchReliable", "watchResumable", "watchCompleteOrTold"],
    patch: ({ store }) => {
      const { history } = store;
      const readEvents = history.readEvents.bind(history);
      history.readEvents = (from, limits) => {
        const read = readEvents(from, limits);
        // The oracle reads one revision at a time.
        return limits.revisionsMax === 1 ? read : { ...read, revisions: read.revisions.slice(1) };
      };
    },
  },
];
