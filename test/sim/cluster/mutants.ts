// Members with one defect each. The simulator has to find every one of them.

import type { Bucket } from "../../../node/lib/backend.ts";
import { textOf } from "../../../node/lib/bytes.ts";
import { noNode } from "../../../node/lib/ids.ts";
import { WatchStream } from "../../../node/mvcc/watch-stream.ts";
import { RaftLog } from "../../../node/raft/log.ts";
import { Raft } from "../../../node/raft/raft.ts";
import { ReadOnly } from "../../../node/raft/read-only.ts";
import type { Replica } from "../../../node/replica/replica.ts";
import type { Message } from "../../../node/wire/raft.ts";
import {
  EagerCompactionEngine,
  EngineWrapper,
  ForgivingDisk,
  HastyLog,
  NoDirectorySyncDisk,
  NoSyncDisk,
  TwoFlushEngine,
} from "../defects.ts";
import type { RuleName } from "./rules.ts";
import type { MemberDefect } from "./sim-member.ts";

export interface ClusterMutant {
  readonly name: string;
  /** One of these is what must be noticed; "invariant" is an assertion of the member itself. */
  readonly breaks: readonly (RuleName | "invariant")[];
  /** Fresh for each run. */
  readonly make: () => MemberDefect;
  /** Changes code that all members share; answers how to undo it. */
  readonly install?: () => () => void;
}

/** Says at every start that it has applied one entry more, or less, than it has. */
class ShiftedIndexEngine extends EngineWrapper {
  readonly #by: number;
  #isFirst = true;

  constructor(inner: ConstructorParameters<typeof EngineWrapper>[0], by: number) {
    super(inner);
    this.#by = by;
  }

  override get(bucket: Bucket, key: Uint8Array): Uint8Array | undefined {
    const value = this.inner.get(bucket, key);
    if (!this.#isFirst || value === undefined || textOf(key) !== "consistent_index") return value;
    this.#isFirst = false;
    const shifted = value.slice();
    const view = new DataView(shifted.buffer);
    view.setBigUint64(0, view.getBigUint64(0) + BigInt(this.#by));
    return shifted;
  }
}

/** Asks for every index to read at under the id of its first question, so that an answer to one fits all later ones. */
function reusingReadIds(): MemberDefect {
  const asked = new Map<bigint, Message["entries"]>();
  return {
    outgoing: (message) => {
      if (message.type !== "MsgReadIndex") return message;
      asked.set(message.from, message.entries);
      return message;
    },
    incoming: (message) =>
      message.type === "MsgReadIndexResp"
        ? { ...message, entries: asked.get(message.to) ?? message.entries }
        : message,
  };
}

function patched(patch: (replica: Replica) => void): () => MemberDefect {
  return () => ({ patch });
}

/** Puts another method in the place of a shared one, for as long as the run takes. */
function replacing<T extends object, K extends keyof T>(
  prototype: T,
  name: K,
  make: (was: T[K]) => T[K],
): () => () => void {
  return () => {
    const was = prototype[name];
    prototype[name] = make(was);
    return () => {
      prototype[name] = was;
    };
  };
}

const losses = [
  "oneVoteATerm",
  "electionSafety",
  "leaderCompleteness",
  "acknowledgedWrites",
  "stateMachineSafety",
  "logMatching",
  "equalHashes",
  "linearizability",
  "liveness",
  "invariant",
] as const;

export const clusterMutants: readonly ClusterMutant[] = [
  {
    name: "answers before the log is synced",
    breaks: losses,
    make: () => ({ wrapLog: (log, clock) => new HastyLog(log, clock) }),
  },
  { name: "does not sync its files", breaks: losses, make: () => ({ makeDisk: () => new NoSyncDisk() }) },
  {
    name: "does not sync directories",
    breaks: losses,
    make: () => ({ makeDisk: () => new NoDirectorySyncDisk() }),
  },
  {
    name: "takes a failed sync for a good one",
    breaks: losses,
    make: () => ({ makeDisk: () => new ForgivingDisk() }),
  },
  {
    name: "writes the applied index in a flush of its own",
    breaks: ["equalHashes", "stateMachineSafety", "watch", "linearizability", "snapshots", "invariant"],
    make: () => ({ wrapEngine: (engine) => new TwoFlushEngine(engine) }),
  },
  {
    name: "applies an entry again after a restart",
    breaks: ["stateMachineSafety", "equalHashes", "invariant"],
    make: () => ({ wrapEngine: (engine) => new ShiftedIndexEngine(engine, -1) }),
  },
  {
    name: "leaves an entry out after a restart",
    breaks: ["stateMachineSafety", "equalHashes", "invariant"],
    make: () => ({ wrapEngine: (engine) => new ShiftedIndexEngine(engine, 1) }),
  },
  {
    name: "reads without asking a quorum",
    breaks: ["linearizability"],
    make: patched((replica) => {
      replica.readBarrier = (done) => done({ ok: true });
    }),
  },
  {
    name: "votes for a log that is behind its own",
    breaks: losses,
    make: () => ({}),
    install: replacing(RaftLog.prototype, "isUpToDate", () => () => true),
  },
  {
    name: "votes twice in a term",
    breaks: losses,
    make: () => ({
      outgoing: (message) => (message.type === "MsgVoteResp" ? { ...message, reject: false } : message),
    }),
  },
  {
    name: "commits whatever a leader sends",
    breaks: losses,
    make: () => ({
      incoming: (message) =>
        message.type === "MsgApp" ? { ...message, commit: message.index + message.entries.length } : message,
    }),
  },
  {
    name: "acknowledges one entry more than it has",
    breaks: losses,
    make: () => ({
      outgoing: (message) =>
        message.type === "MsgAppResp" && !message.reject ? { ...message, index: message.index + 1 } : message,
    }),
  },
  {
    name: "expires leases by a fast clock",
    breaks: ["leaseExpiry"],
    make: () => ({
      wrapClock: (clock) => ({
        nowMs: () => clock.nowMs() * 1.5,
        after: (delayMs, fn) => clock.after(delayMs, fn),
        defer: (fn) => clock.defer(fn),
      }),
    }),
  },
  {
    name: "renews leases after it was deposed",
    breaks: ["leaseExpiry"],
    make: patched(({ lessor }) => {
      lessor.demote = () => {};
    }),
  },
  {
    name: "takes back renewals of leases when it begins to lead",
    breaks: ["leaseExpiry"],
    make: patched(({ lessor }) => {
      const promote = lessor.promote.bind(lessor);
      lessor.promote = (nowMs, extendMs) => promote(nowMs - 3_000, extendMs);
    }),
  },
  {
    name: "begins leases anew for as long as it leads",
    breaks: ["liveness"],
    make: patched(({ lessor }) => {
      const expired = lessor.expired.bind(lessor);
      lessor.expired = (nowMs, max) => {
        if (lessor.isPrimary) lessor.promote(nowMs, 1_000);
        return expired(nowMs, max);
      };
    }),
  },
  {
    name: "carries out only the first operation of a transaction",
    breaks: ["acknowledgedWrites"],
    make: patched(({ applier }) => {
      const apply = applier.apply.bind(applier);
      applier.apply = (request) => {
        const { txn } = request;
        if (txn === undefined) return apply(request);
        return apply({ ...request, txn: { ...txn, success: txn.success.slice(0, 1) } });
      };
    }),
  },
  {
    name: "tells progress of a watch before the events up to there",
    breaks: ["watch"],
    make: () => ({}),
    install: replacing(WatchStream.prototype, "isCurrentAt", () => () => true),
  },
  {
    name: "makes a second change of the members before the first is applied",
    breaks: ["oneChangeAtATime"],
    make: () => ({}),
    install: replacing(
      Raft.prototype,
      "appendOwn",
      (was) =>
        function (this: Raft, entries) {
          this.pendingConfIndex = 0;
          return was.call(this, entries);
        },
    ),
  },
  {
    name: "skips a revision when a watch catches up",
    breaks: ["watch"],
    make: patched(({ store: { history } }) => {
      const readEvents = history.readEvents.bind(history);
      history.readEvents = (from, limits) => {
        const read = readEvents(from, limits);
        return { ...read, revisions: read.revisions.slice(1) };
      };
    }),
  },
  {
    name: "keeps its leases as they were when a snapshot came",
    breaks: ["equalHashes", "stateMachineSafety", "invariant"],
    make: patched(({ lessor }) => {
      lessor.restored = () => {};
    }),
  },
  {
    name: "keeps its members as they were when a snapshot came",
    breaks: ["membershipAgreement", "equalHashes", "invariant"],
    make: patched(({ members }) => {
      members.restored = () => {};
    }),
  },
  {
    name: "does not store that a learner was promoted",
    breaks: ["membershipAgreement"],
    make: patched(({ members }) => {
      members.promote = () => {};
    }),
  },
  {
    name: "does not store the removal of a member",
    breaks: ["membershipAgreement", "invariant"],
    make: patched(({ members }) => {
      members.remove = () => {};
    }),
  },
  {
    name: "does not store the addition of a member",
    breaks: ["membershipAgreement", "invariant"],
    make: patched(({ members }) => {
      members.add = () => {};
    }),
  },
  {
    name: "applies a put by what member it is",
    breaks: ["stateMachineSafety", "equalHashes"],
    make: patched(({ applier, nodeId }) => {
      const apply = applier.apply.bind(applier);
      applier.apply = (request) =>
        apply(
          request.put !== undefined && nodeId % 2n === 0n
            ? { ...request, put: { ...request.put, value: request.put.key } }
            : request,
        );
    }),
  },
  {
    name: "leaves out deletions when a watch catches up",
    breaks: ["watch"],
    make: patched(({ store: { history } }) => {
      const readEvents = history.readEvents.bind(history);
      history.readEvents = (from, limits) => {
        const read = readEvents(from, limits);
        const revisions = read.revisions.filter(({ events }) => events.every(({ type }) => type === "put"));
        return { ...read, revisions };
      };
    }),
  },
  {
    name: "forgets its vote when it restarts",
    breaks: losses,
    make: () => ({
      recall: (contents) => ({ ...contents, hardState: { ...contents.hardState, vote: noNode } }),
    }),
  },
  {
    name: "removes the tombstone at the compacted revision",
    breaks: ["watch", "equalHashes", "snapshots", "stateMachineSafety", "invariant"],
    make: () => ({ wrapEngine: (engine) => new EagerCompactionEngine(engine) }),
  },
  {
    name: "gives all its questions for an index to read at one id",
    breaks: ["linearizability"],
    make: reusingReadIds,
  },
  {
    name: "takes an answer to an earlier heartbeat for one to a read's own",
    breaks: ["linearizability"],
    make: () => ({}),
    install: replacing(
      ReadOnly.prototype,
      "acknowledge",
      (was) =>
        function (this: ReadOnly, from, context) {
          was.call(this, from, context.length === 0 ? context : this.heartbeatContext());
        },
    ),
  },
  {
    name: "answers reads before an entry of its own term is committed",
    breaks: ["linearizability"],
    make: () => ({}),
    install: replacing(Raft.prototype, "hasCommittedInTerm", () => () => true),
  },
  {
    name: "does not look at the checksums of its store",
    breaks: [
      "linearizability",
      "acknowledgedWrites",
      "stateMachineSafety",
      "equalHashes",
      "watch",
      "snapshots",
      "invariant",
    ],
    make: () => ({ isBlindToDamage: true }),
  },
  {
    name: "goes on to remove what is compacted while a snapshot is read",
    breaks: ["snapshots", "equalHashes"],
    make: patched(({ store }) => {
      store.holdRemovals = () => () => {};
    }),
  },
];
