// One simulated member: its disk and what is left of its store, and the life that it leads between two crashes. The
// replica is made by the same call as in a real process.

import { Lessor } from "../../../node/lease/lessor.ts";
import { assert } from "../../../node/lib/assert.ts";
import type { Engine } from "../../../node/lib/backend.ts";
import { utf8 } from "../../../node/lib/bytes.ts";
import type { Clock, Timer } from "../../../node/lib/clock.ts";
import type { FatalError } from "../../../node/lib/fatal.ts";
import type { NodeId } from "../../../node/lib/ids.ts";
import { silentLogger } from "../../../node/lib/log.ts";
import { silentMetrics } from "../../../node/lib/metrics.ts";
import { type Random, SeededRandom } from "../../../node/lib/random.ts";
import { encodeV2Document } from "../../../node/membership/v2-document.ts";
import { Overlay } from "../../../node/mvcc/overlay.ts";
import { RecordImport } from "../../../node/mvcc/record-import.ts";
import { writeDurableState } from "../../../node/replica/durable-state.ts";
import type { LogAppend, LogContents, LogSnapshot, LogStore } from "../../../node/replica/log-store.ts";
import { Replica } from "../../../node/replica/replica.ts";
import type { SnapshotSlice } from "../../../node/replica/snapshot-source.ts";
import { MemoryEngine, MemoryGeneration, type MemoryImage } from "../../../node/storage/memory/engine.ts";
import { createLog, logExists, openLog } from "../../../node/storage/wal/open-log.ts";
import { SteppedLogStore } from "../../../node/storage/wal/stepped-log-store.ts";
import type { Entry, HardState, Message } from "../../../node/wire/raft.ts";
import { SimDisk } from "../disk.ts";
import type { Scheduler } from "../scheduler.ts";
import { SealedEngine, withFlippedBit } from "./sealed-engine.ts";

const heartbeatIntervalMs = 100;
const memberDir = "/data/member";
const wallClockStartMs = 1_900_000_000_000;

export interface MemberSettings {
  readonly snapshotCount: number;
  readonly snapshotCatchupEntries: number;
  readonly segmentBytes: number;
  readonly flushIntervalMs: number;
  /** Heartbeats without one before a member campaigns. */
  readonly electionTicks: number;
  readonly preVote: boolean;
  readonly hasLeaseCheckpoints: boolean;
  readonly logStepMsMax: number;
  readonly flushMsMax: number;
}

/** Stands between the replica and its ports, to plant a defect. */
export interface MemberDefect {
  readonly makeDisk?: () => SimDisk;
  readonly wrapLog?: (log: LogStore, clock: Clock) => LogStore;
  readonly wrapEngine?: (engine: Engine) => Engine;
  readonly wrapClock?: (clock: Clock) => Clock;
  /** What the member makes of the log that it opens. */
  readonly recall?: (contents: LogContents) => LogContents;
  /** Takes damaged records of its store for data. */
  readonly isBlindToDamage?: boolean;
  /** What becomes of a message before it leaves, and when it arrives. */
  readonly outgoing?: (message: Message) => Message;
  readonly incoming?: (message: Message) => Message;
  readonly patch?: (replica: Replica) => void;
}

export interface SimMemberPorts {
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly settings: MemberSettings;
  readonly clusterId: bigint;
  /** Of a cluster that begins; empty for a member that joins one. */
  readonly bootstrap: readonly Entry[];
  readonly defect: MemberDefect | undefined;
  readonly send: (message: Message, store: MemoryImage | undefined) => void;
  readonly onAppend: (member: SimMember, entry: Entry) => void;
  readonly onReplica: (member: SimMember, replica: Replica) => void;
  readonly onRemoved: (member: SimMember) => void;
  readonly onFatal: (member: SimMember, error: FatalError) => void;
}

let lives = 0;

export class SimMember {
  readonly id: NodeId;
  readonly disk: SimDisk;
  readonly #ports: SimMemberPorts;
  #image: MemoryImage | undefined;
  #announced: { readonly image: MemoryImage; readonly index: number } | undefined;
  #engine: MemoryEngine | undefined;
  #replica: Replica | undefined;
  /** Of virtual time; the member's own clock goes on steadily when it changes. */
  #clockRate = 1;
  #rateSinceMs = 0;
  #clockAtRateMs = 0;
  /** Its events wait until then. */
  pausedUntilUs = 0;
  /** So long after the pause come the messages that wait for it. */
  peersReadLateMs = 0;
  /** Nothing that its log writes or syncs is done before then. */
  diskStalledUntilMs = 0;
  life = 0;
  lastIndex = 0;
  isRemoved = false;
  /** Its disk is damaged or empty: under this id it never comes back. */
  isLost = false;
  /** A bit of its log or of its store was changed, and nobody has noticed yet. */
  flipped: "nothing" | "log" | "store" = "nothing";
  /** Failures of its disk that have ended it. */
  failuresSeen = 0;

  constructor(id: NodeId, ports: SimMemberPorts) {
    this.id = id;
    this.#ports = ports;
    this.disk = ports.defect?.makeDisk?.() ?? new SimDisk();
  }

  /** Undefined while it is down. */
  get replica(): Replica | undefined {
    return this.#replica;
  }

  /** Opens what is on the disk and begins. */
  start(): void {
    assert(this.#replica === undefined, "a member that is down starts");
    const { scheduler, random, settings, clusterId, bootstrap, defect } = this.#ports;
    const { disk } = this;
    const location = { disk, memberDir, segmentBytes: settings.segmentBytes };
    const opened = logExists(location)
      ? openLog(location)
      : createLog(location, { nodeId: this.id, clusterId });
    this.#finishInstall(opened.contents);
    this.life = ++lives;
    const { life } = this;
    const steady = this.#clock(life);
    const clock = defect?.wrapClock?.(steady) ?? steady;
    const memory = new MemoryEngine({
      ...(this.#image === undefined ? {} : { image: this.#image }),
      complete: (finish) => {
        scheduler.at(random.below(settings.flushMsMax), { life, kind: "flush", run: finish });
      },
    });
    this.#engine = memory;
    const engine = this.#sealed(memory);
    const stepped = new SteppedLogStore({
      disk,
      memberDir,
      segmentBytes: settings.segmentBytes,
      position: opened.position,
      schedule: (step, run) => {
        const stalledMs = Math.max(0, this.diskStalledUntilMs - scheduler.nowMs);
        const delayMs = stalledMs + random.below(settings.logStepMsMax);
        scheduler.at(delayMs, { life, kind: `log ${step}`, run });
      },
      onFatal: (error) => this.#ports.onFatal(this, error),
    });
    const contents = defect?.recall?.(opened.contents) ?? opened.contents;
    const { snapshot, entries, hardState } = contents;
    this.lastIndex = snapshot.index + entries.length;
    const isNew = hardState.term === 0 && this.lastIndex === 0;
    const log = new ObservedLog(stepped, (entry) => {
      this.lastIndex = entry.index;
      this.#ports.onAppend(this, entry);
    });
    const replica = new Replica({
      nodeId: this.id,
      contents,
      bootstrap: isNew ? bootstrap : [],
      name: `m${this.id}`,
      clientUrls: [`http://m${this.id}:2379`],
      log: defect?.wrapLog?.(log, clock) ?? log,
      engine: defect?.wrapEngine?.(engine) ?? engine,
      network: {
        send: (messages) => this.#send(messages),
        addPeer() {},
        updatePeer() {},
        removePeer() {},
        activeSinceMs: () => 0,
      },
      onRemoved: () => this.#ports.onRemoved(this),
      learnersMax: 2,
      clock,
      startMs: wallClockStartMs + scheduler.nowMs,
      random: new SeededRandom(random.bits32()),
      logger: silentLogger,
      heartbeatIntervalMs,
      electionTicks: settings.electionTicks,
      preVote: settings.preVote,
      snapshotCount: settings.snapshotCount,
      snapshotCatchupEntries: settings.snapshotCatchupEntries,
      flushIntervalMs: settings.flushIntervalMs,
      flushBytesMax: 32 * 1024 * 1024,
      requestBytesMax: 1_572_864,
      compactionBatchRecords: 10,
      compactionPauseMs: 10,
      progressNotifyIntervalMs: 5_000,
      hasLeaseCheckpoints: settings.hasLeaseCheckpoints,
      autoCompaction: undefined,
      slowApplyMs: 100,
      metrics: silentMetrics,
    });
    this.#replica = replica;
    defect?.patch?.(replica);
    this.#ports.onReplica(this, replica);
    replica.start(() => {});
  }

  /** The process dies; with the machine, what was not synced may be lost. */
  crash(isPowerCut: boolean): void {
    const { scheduler, random } = this.#ports;
    scheduler.endLife(this.life);
    if (this.#engine !== undefined) {
      this.#image = random.below(2) === 0 ? this.#engine.image() : this.#engine.imageWithFlushUnderWay();
    }
    this.#engine = undefined;
    this.#replica = undefined;
    this.pausedUntilUs = 0;
    this.diskStalledUntilMs = 0;
    if (isPowerCut) this.disk.crash(random);
    else this.disk.crash(random, { writes: false, torn: false, names: false });
  }

  /** While it is down: one bit of its store is another. False where there is nothing in it yet. */
  flipStoreBit(): boolean {
    // A store that is about to be replaced is not read any more.
    if (this.#image === undefined || this.#announced !== undefined) return false;
    const flipped = withFlippedBit(this.#image, this.#ports.random);
    if (flipped === undefined) return false;
    this.#image = flipped;
    this.flipped = "store";
    return true;
  }

  /** While it is down: one bit of its log is another, well before the end. False where there is no log yet. */
  flipLogBit(): boolean {
    const { random } = this.#ports;
    const logs = [...this.disk.files()].filter(([path]) => path.endsWith(".wal"));
    const log = logs[random.below(Math.max(1, logs.length))];
    if (log === undefined) return false;
    const [path, bytes] = log;
    const written = bytes.findLastIndex((byte) => byte !== 0);
    if (written < 2) return false;
    const at = random.below(Math.floor(written / 2));
    bytes[at] = (bytes[at] as number) ^ (1 << random.below(8));
    this.disk.plant(path, bytes);
    this.flipped = "log";
    return true;
  }

  /** What the member's clock says. */
  nowMs(): number {
    return this.#clockAtRateMs + (this.#ports.scheduler.nowMs - this.#rateSinceMs) * this.#clockRate;
  }

  setClockRate(rate: number): void {
    this.#clockAtRateMs = this.nowMs();
    this.#rateSinceMs = this.#ports.scheduler.nowMs;
    this.#clockRate = rate;
  }

  /** A message, and with MsgSnap the store that came along. */
  receive(message: Message, store: MemoryImage | undefined): void {
    const replica = this.#replica;
    if (replica === undefined) return;
    if (message.type !== "MsgSnap") replica.receive(this.#ports.defect?.incoming?.(message) ?? message);
    else if (store !== undefined) {
      replica.receiveSnapshot(
        message,
        new MemoryGeneration(store, (index) => {
          this.#announced = { image: store, index };
        }),
      );
    }
  }

  #sealed(memory: MemoryEngine): SealedEngine {
    return new SealedEngine(memory, {
      onDamaged: (error) => this.#ports.onFatal(this, error),
      isBlind: this.#ports.defect?.isBlindToDamage ?? false,
    });
  }

  #finishInstall({ snapshot }: LogContents): void {
    const announced = this.#announced;
    this.#announced = undefined;
    if (announced !== undefined && snapshot.index >= announced.index && this.#isBehind(announced.index)) {
      this.#image = announced.image;
    }
  }

  /** Whether the store is not the announced one, or a later state of it, already. */
  #isBehind(index: number): boolean {
    const bytes = this.#image?.records.get("meta")?.get("consistent_index");
    if (bytes === undefined) return true;
    return Number(new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0)) < index;
  }

  #send(messages: readonly Message[]): void {
    for (const message of messages) {
      const sent = this.#ports.defect?.outgoing?.(message) ?? message;
      if (sent.type !== "MsgSnap") this.#ports.send(sent, undefined);
      else this.#sendStore(sent);
    }
  }

  /** As a real member does: the store of this very moment, with the position that it stands at. */
  #sendStore(message: Message): void {
    const { scheduler } = this.#ports;
    // The replica asks for it in the middle of its own work.
    scheduler.at(1, {
      life: this.life,
      kind: "snapshot",
      run: () => {
        const replica = this.#replica;
        if (replica === undefined) return;
        const source = replica.openSnapshot();
        const slices: SnapshotSlice[] = [];
        for (let slice = source.next(everything); slice !== undefined; slice = source.next(everything)) {
          slices.push(slice);
        }
        source.close();
        const { index, term, confState, members, clusterVersion } = source.state;
        const data = utf8(encodeV2Document(members, clusterVersion));
        const store = storeOf(slices, source.state);
        this.#ports.send({ ...message, snapshot: { data, metadata: { index, term, confState } } }, store);
      },
    });
  }

  #clock(life: number): Clock {
    const { scheduler, random } = this.#ports;
    return {
      nowMs: () => this.nowMs(),
      after: (delayMs, fn): Timer => {
        let isCancelled = false;
        const run = (): void => {
          if (!isCancelled) fn();
        };
        scheduler.at(delayMs / this.#clockRate + random.below(1000) / 1000, { life, kind: "timer", run });
        return {
          cancel: () => {
            isCancelled = true;
          },
        };
      },
      defer: (fn) => {
        scheduler.at(0, { life, kind: "defer", run: fn });
      },
    };
  }
}

const everything = { recordsMax: Number.POSITIVE_INFINITY, bytesMax: Number.POSITIVE_INFINITY };

/** What a receiver makes of the buckets that were sent. */
function storeOf(
  slices: readonly SnapshotSlice[],
  state: Parameters<typeof writeDurableState>[1],
): MemoryImage {
  const engine = new MemoryEngine();
  const overlay = new Overlay(new SealedEngine(engine, { onDamaged: () => {}, isBlind: false }));
  for (const { bucket, records } of slices) {
    if (bucket === "key") continue;
    for (const { key, value } of records) overlay.put(bucket, key, value);
  }
  const records = new RecordImport(overlay, new Lessor(overlay));
  for (const slice of slices) {
    if (slice.bucket === "key") for (const { key, value } of slice.records) records.add(key, value);
  }
  writeDurableState(overlay, state);
  overlay.flush(() => {});
  return engine.image();
}

class ObservedLog implements LogStore {
  readonly #inner: LogStore;
  readonly #onAppend: (entry: Entry) => void;

  constructor(inner: LogStore, onAppend: (entry: Entry) => void) {
    this.#inner = inner;
    this.#onAppend = onAppend;
  }

  append(append: LogAppend, done?: () => void): void {
    for (const entry of append.entries) this.#onAppend(entry);
    this.#inner.append(append, done);
  }

  saveSnapshot(snapshot: LogSnapshot, releaseIndex: number, done: () => void): void {
    this.#inner.saveSnapshot(snapshot, releaseIndex, done);
  }

  installSnapshot(snapshot: LogSnapshot, hardState: HardState, done: () => void): void {
    this.#inner.installSnapshot(snapshot, hardState, done);
  }

  close(done: () => void): void {
    this.#inner.close(done);
  }
}
