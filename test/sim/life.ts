// One life of the member: from opening its files, through the same Replica as main.ts, to the moment it ends. The
// disk and the image of the store go in, and what is left of them comes out.

import { assert } from "../../node/lib/assert.ts";
import type { Engine } from "../../node/lib/backend.ts";
import { utf8 } from "../../node/lib/bytes.ts";
import type { Clock } from "../../node/lib/clock.ts";
import { FatalError } from "../../node/lib/fatal.ts";
import { nodeId } from "../../node/lib/ids.ts";
import { silentLogger } from "../../node/lib/log.ts";
import { silentMetrics } from "../../node/lib/metrics.ts";
import type { Random } from "../../node/lib/random.ts";
import { SeededRandom } from "../../node/lib/random.ts";
import { encodeMember } from "../../node/membership/member.ts";
import { Overlay } from "../../node/mvcc/overlay.ts";
import { readDurableState } from "../../node/replica/durable-state.ts";
import type { LogAppend, LogContents, LogSnapshot, LogStore } from "../../node/replica/log-store.ts";
import type { ProposalDone } from "../../node/replica/proposals.ts";
import { Replica } from "../../node/replica/replica.ts";
import { MemoryEngine, type MemoryImage } from "../../node/storage/memory/engine.ts";
import { createLog, logExists, type OpenedLog, openLog } from "../../node/storage/wal/open-log.ts";
import { SteppedLogStore } from "../../node/storage/wal/stepped-log-store.ts";
import type { Entry, HardState } from "../../node/wire/raft.ts";
import { raftCodecs } from "../../node/wire/raft-codec.ts";
import type { InternalRaftRequest } from "../../node/wire/rpc.ts";
import type { SimDisk } from "./disk.ts";
import type { Mutant } from "./mutants.ts";
import type { Scheduler } from "./scheduler.ts";
import type { Settings } from "./settings.ts";

export const electionTicks = 10;
export const heartbeatIntervalMs = 100;
/** The shortest TTL of a lease: three halves of the election timeout, in whole seconds. */
export const ttlSecondsMin = 2;

const memberDir = "/data/member";
const identity = { nodeId: nodeId(0x8e9e05c52164694dn), clusterId: 0xcdf818194e3a8c32n };
const name = "m1";
const clientUrls = ["http://m1:2379"];
/** What the wall clock said when virtual time began. */
const wallClockStartMs = 1_900_000_000_000;

export type Operation = Partial<Omit<InternalRaftRequest, "header">>;

export interface LifePorts {
  readonly settings: Settings;
  readonly scheduler: Scheduler;
  readonly disk: SimDisk;
  readonly mutant: Mutant | undefined;
  /** What chance decides about the member's own randomness and the times that things take. */
  readonly random: Random;
  /** How long a step of the log or a flush of the store takes. */
  readonly logStepMs: () => number;
  readonly flushMs: () => number;
  /** Whether the flush that is about to finish fails instead. */
  readonly takeStoreError: () => boolean;
  readonly onAppend: (entry: Entry) => void;
  /** The member proposes something that no client has asked for. */
  readonly onOwnProposal: (operation: Operation) => void;
  readonly onFatal: (error: FatalError) => void;
}

/** Opens the log, or creates it. Throws PowerCut, or FatalError. */
export function openFiles(disk: SimDisk, settings: Settings): OpenedLog {
  const location = { disk, memberDir, segmentBytes: settings.segmentBytes };
  return logExists(location) ? openLog(location) : createLog(location, identity);
}

export class Life {
  readonly number: number;
  readonly replica: Replica;
  readonly contents: LogContents;
  /** What the store held when the life began: position in the log, 0 for nothing. */
  readonly bootIndex: number;
  readonly #engine: MemoryEngine;
  readonly #log: ObservedLog;
  readonly #clock: Clock;
  #isClientCalling = false;
  isReady = false;
  isStopping = false;
  /** Set when a fault has ended it; it may go on for a moment, as a process does. */
  hasFailed = false;

  /** Throws FatalError when store and log do not belong together. */
  constructor(number: number, opened: OpenedLog, image: MemoryImage | undefined, ports: LifePorts) {
    this.number = number;
    this.contents = opened.contents;
    const { settings, scheduler, disk, mutant, random } = ports;
    const clock = scheduler.clock(number, () => random.below(1000) / 1000);
    this.#engine = new MemoryEngine({
      ...(image === undefined ? {} : { image }),
      complete: (finish) => {
        const run = (): void => {
          if (ports.takeStoreError()) ports.onFatal(new FatalError("IO_ERROR", "EIO: flush of the store"));
          else finish();
        };
        scheduler.at(ports.flushMs(), { life: number, kind: "flush", run });
      },
    });
    this.bootIndex = this.flushedIndex;
    const stepped = new SteppedLogStore({
      disk,
      memberDir,
      segmentBytes: settings.segmentBytes,
      position: opened.position,
      schedule: (step, run) => {
        scheduler.at(ports.logStepMs(), { life: number, kind: `log ${step}`, run });
      },
      onFatal: ports.onFatal,
    });
    this.#log = new ObservedLog(stepped, opened.contents, ports.onAppend);
    const engine: Engine = this.#engine;
    this.#clock = mutant?.wrapClock?.(clock) ?? clock;
    this.replica = new Replica({
      ...settings,
      nodeId: identity.nodeId,
      contents: opened.contents,
      bootstrap: bootstrapEntries(opened.contents),
      name,
      clientUrls,
      log: mutant?.wrapLog?.(this.#log, clock) ?? this.#log,
      engine: mutant?.wrapEngine?.(engine) ?? engine,
      network: {
        send: (messages) => {
          if (messages.length > 0) throw new Error("a member without peers sends a message");
        },
        addPeer: () => {
          throw new Error("a cluster of one member has no peers");
        },
        updatePeer() {},
        removePeer() {},
        activeSinceMs: () => undefined,
      },
      onRemoved: () => {
        throw new Error("nobody removes the only member");
      },
      learnersMax: 1,
      clock: this.#clock,
      startMs: wallClockStartMs + scheduler.nowMs,
      random: new SeededRandom(random.bits32()),
      logger: silentLogger,
      heartbeatIntervalMs,
      electionTicks,
      requestBytesMax: 1_572_864,
      slowApplyMs: 100,
      metrics: silentMetrics,
    });
    mutant?.patch?.(this.replica);
    const propose = this.replica.propose.bind(this.replica);
    this.replica.propose = (operation, done) => {
      if (!this.#isClientCalling) ports.onOwnProposal(operation);
      propose(operation, done);
    };
    const proposeAsLeader = this.replica.proposeAsLeader.bind(this.replica);
    this.replica.proposeAsLeader = (operation, done) => {
      ports.onOwnProposal(operation);
      proposeAsLeader(operation, done);
    };
  }

  /** What a service does for a client. */
  propose(operation: Operation, done: ProposalDone): void {
    this.#isClientCalling = true;
    this.replica.propose(operation, done);
    this.#isClientCalling = false;
  }

  start(onReady: () => void): void {
    this.replica.start(() => {
      this.isReady = true;
      onReady();
    });
  }

  /** Ends in order. Everything that was applied is durable when `done` runs. */
  stop(done: () => void): void {
    this.isStopping = true;
    this.replica.stop(done);
  }

  /** The time that the member goes by. */
  nowMs(): number {
    return this.#clock.nowMs();
  }

  /** Entries up to here were synced when somebody had asked for it. */
  get syncedIndex(): number {
    return this.#log.syncedIndex;
  }

  /** The position in the log that the store holds durably. */
  get flushedIndex(): number {
    return readDurableState(new Overlay(this.#engine))?.index ?? 0;
  }

  get engine(): MemoryEngine {
    return this.#engine;
  }
}

/** Next to the disk: sees what was really asked of the log, and when it was really done. */
class ObservedLog implements LogStore {
  readonly #inner: LogStore;
  readonly #onAppend: (entry: Entry) => void;
  #lastIndex: number;
  #syncedIndex: number;
  #isClosed = false;

  constructor(inner: LogStore, { snapshot, entries }: LogContents, onAppend: (entry: Entry) => void) {
    this.#inner = inner;
    this.#onAppend = onAppend;
    this.#lastIndex = snapshot.index + entries.length;
    this.#syncedIndex = this.#lastIndex;
  }

  get syncedIndex(): number {
    return this.#syncedIndex;
  }

  append(append: LogAppend, done?: () => void): void {
    this.#assertOpen();
    for (const entry of append.entries) {
      this.#onAppend(entry);
      this.#lastIndex = entry.index;
    }
    const index = this.#lastIndex;
    if (done === undefined) {
      this.#inner.append(append);
      return;
    }
    this.#inner.append(append, () => {
      this.#syncedIndex = Math.max(this.#syncedIndex, index);
      done();
    });
  }

  saveSnapshot(snapshot: LogSnapshot, releaseIndex: number, done: () => void): void {
    this.#assertOpen();
    this.#inner.saveSnapshot(snapshot, releaseIndex, done);
  }

  installSnapshot(snapshot: LogSnapshot, hardState: HardState, done: () => void): void {
    this.#assertOpen();
    this.#inner.installSnapshot(snapshot, hardState, done);
  }

  close(done: () => void): void {
    this.#assertOpen();
    this.#isClosed = true;
    this.#inner.close(done);
  }

  #assertOpen(): void {
    assert(!this.#isClosed, "a closed log is asked for nothing");
  }
}

/** A member without data begins with its own addition to the cluster, as main.ts has it. */
function bootstrapEntries({ hardState, snapshot, entries }: LogContents): readonly Entry[] {
  if (hardState.term > 0 || snapshot.index > 0 || entries.length > 0) return [];
  const member = {
    id: identity.nodeId,
    name,
    peerUrls: ["http://m1:2380"],
    clientUrls: [],
    isLearner: false,
  };
  const data = raftCodecs.ConfChange.encode({
    id: 0n,
    type: "ConfChangeAddNode",
    nodeId: identity.nodeId,
    context: utf8(encodeMember(member)),
  });
  return [{ type: "EntryConfChange", term: 1, index: 1, data }];
}
