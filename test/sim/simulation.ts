// A run of one seed. Purpose: the whole member but sockets and threads, in one process, under virtual time, with
// faults wherever chance puts them, and every promise asked for as it goes. First anything may break; then the
// faults end, and the member has to make progress and to be whole. Everything that happens follows from the seed.

import { assert } from "../../node/lib/assert.ts";
import type { FatalError, FatalReason } from "../../node/lib/fatal.ts";
import { FatalError as Fatal } from "../../node/lib/fatal.ts";
import { nodeId } from "../../node/lib/ids.ts";
import { SeededRandom } from "../../node/lib/random.ts";
import { describe } from "../../node/mvcc/watch-testing.ts";
import type { MemoryImage } from "../../node/storage/memory/engine.ts";
import type { OpenedLog } from "../../node/storage/wal/open-log.ts";
import { codecs } from "../../node/wire/codecs.ts";
import { AlarmAction, AlarmType } from "../../node/wire/rpc.ts";
import { Clients, putOperation } from "./clients.ts";
import { type DiskCall, PowerCut, SimDisk } from "./disk.ts";
import { LeaseLedger } from "./leases.ts";
import { Life, openFiles, ttlSecondsMin } from "./life.ts";
import { Load } from "./load.ts";
import type { Mutant } from "./mutants.ts";
import { Oracle, type Step } from "./oracle.ts";
import { type PromiseName, Promises } from "./promises.ts";
import { Scheduler } from "./scheduler.ts";
import { drawSettings, type FaultName, faultNames, type Settings, settingsText } from "./settings.ts";
import { keyText, textOfKeyValue } from "./text.ts";
import { Trace } from "./trace.ts";
import { WatchClient } from "./watchers.ts";

export interface RunOptions {
  readonly seed: number;
  readonly events: number;
  readonly switched?: ReadonlySet<FaultName>;
  readonly mutant?: Mutant;
  /** Prints the trace as it grows. */
  readonly print?: (line: string) => void;
}

export interface RunResult {
  readonly seed: number;
  readonly events: number;
  readonly crashes: number;
  readonly trace: string;
  readonly fired: ReadonlyMap<FaultName, number>;
  readonly asked: ReadonlyMap<PromiseName, number>;
  readonly reached: ReadonlyMap<PlaceName, number>;
}

/** What a run should come by, and how often it did. */
export const placeNames = [
  "writes acknowledged",
  "writes refused",
  "writes of unknown outcome",
  "reads",
  "crashes",
  "lives with a log to replay",
  "torn tails repaired",
  "segments begun",
  "segments released",
  "snapshots saved",
  "leases expired",
  "lease checkpoints",
  "compactions",
  "watches resumed",
  "watches caught up",
] as const;

export type PlaceName = (typeof placeNames)[number];

/** Ends of a life, in the order in which chance looks for one that is switched on. */
const crashKinds = ["kill", "powerCut", "powerCutInCall"] as const;
const otherEnds = ["stop", "diskError", "diskFull", "storeError"] as const;
type EndKind = (typeof crashKinds)[number] | (typeof otherEnds)[number];

/** Virtual time for everything to settle once the faults have ended: the longest lease and what may delay it. */
const settleMs = 16_000;
const progressMsMax = 5_000;
/** Above the time that a request waits, so that some of them time out. */
const slowLogMsMax = 9_000;
const longPauseMs = 310_000;
const world = 0;

/** Throws what went wrong: Broken for a promise, AssertionFailure for an invariant of the member. */
export function runSeed(options: RunOptions): RunResult {
  return new Simulation(options).run();
}

class Simulation {
  readonly #seed: number;
  readonly #settings: Settings;
  readonly #mutant: Mutant | undefined;
  readonly #scheduler = new Scheduler();
  readonly #trace: Trace;
  readonly #promises = new Promises();
  readonly #fired = new Map<FaultName, number>(faultNames.map((name) => [name, 0]));
  readonly #reached = new Map<PlaceName, number>(placeNames.map((name) => [name, 0]));
  readonly #oracle = new Oracle(this.#promises, ttlSecondsMin);
  readonly #ledger = new LeaseLedger(this.#promises);
  // One stream of randomness each, so that a change to one leaves the others alone.
  readonly #faultRandom: SeededRandom;
  readonly #timeRandom: SeededRandom;
  readonly #lifeRandom: SeededRandom;
  readonly #load: Load;
  readonly #clients: Clients;
  readonly #watchers: WatchClient[];
  readonly #disk: SimDisk;
  #image: MemoryImage | undefined;
  #life: Life | undefined;
  #lives = 0;
  #crashes = 0;
  #failuresSeen = 0;
  /** The failure that was planted and has not ended the life yet. */
  #armed: FatalReason | undefined;
  #isStoreErrorArmed = false;
  /** A planted fault waits for its call, and the life ends with it or without. */
  #isEndDue = false;
  #areFaultsOn = true;
  /** Applied for the first time by any life up to here. */
  #appliedOnce = 0;
  readonly #requestIds = new Set<bigint>();
  /** Where lives end, by event number, the next one last. */
  readonly #plan: { readonly at: number; readonly kinds: readonly EndKind[] }[];

  constructor({ seed, events, switched = new Set(), mutant, print }: RunOptions) {
    this.#seed = seed;
    this.#mutant = mutant;
    const stream = (number: number): SeededRandom => new SeededRandom(seed * 16 + number);
    this.#settings = drawSettings(stream(0), events, switched);
    this.#faultRandom = stream(1);
    this.#timeRandom = stream(2);
    this.#lifeRandom = stream(3);
    this.#load = new Load(stream(4), this.#settings);
    this.#trace = new Trace(() => this.#scheduler.nowUs, print);
    const observe = ({ kind, path, bytes }: DiskCall): void => {
      this.#trace.note(`disk ${kind} ${path}`, bytes);
      if (kind === "rename") this.#reach(path.endsWith(".snap") ? "snapshots saved" : "segments begun");
      if (kind === "unlink" && path.endsWith(".wal")) this.#reach("segments released");
    };
    this.#disk = mutant?.makeDisk?.(observe) ?? new SimDisk(observe);
    this.#clients = new Clients({
      load: this.#load,
      scheduler: this.#scheduler,
      trace: this.#trace,
      promises: this.#promises,
      oracle: this.#oracle,
      ledger: this.#ledger,
      follow: () => this.#follow(),
      reach: (place) => this.#reach(place),
    });
    this.#watchers = Array.from({ length: this.#settings.clients }, (_, i) => this.#newWatcher(i));
    this.#plan = this.#drawPlan();
  }

  run(): RunResult {
    const { events } = this.#settings;
    this.#trace.note("seed", String(this.#seed));
    this.#trace.note("settings", settingsText(this.#settings));
    this.#boot();
    for (let i = 0; i < this.#settings.clients; i++) this.#clientLater();
    if (this.#isOn("pause")) this.#pauseLater();
    while (this.#trace.steps < events || this.#plan.length > 0 || this.#isEnding()) {
      assert(this.#trace.steps < events * 10, "a run ends", { seed: this.#seed });
      this.#endIfPlanned();
      this.#step();
    }
    this.#settle();
    return {
      seed: this.#seed,
      events: this.#trace.steps,
      crashes: this.#crashes,
      trace: this.#trace.digest(),
      fired: this.#fired,
      asked: this.#promises.asked,
      reached: this.#reached,
    };
  }

  /** The life is on its way to its end. */
  #isEnding(): boolean {
    return this.#isEndDue || this.#life?.hasFailed === true || this.#life?.isStopping === true;
  }

  #step(): void {
    const event = this.#scheduler.next();
    assert(event !== undefined, "the world always has something to do");
    const isDead = event.life !== world && event.life !== this.#life?.number;
    if (isDead) return;
    this.#trace.step(event.kind);
    try {
      event.run();
    } catch (error) {
      if (!(error instanceof PowerCut)) throw error;
      this.#fire("powerCutInCall");
      this.#endLife("power");
      return;
    }
    this.#afterEvent();
  }

  #afterEvent(): void {
    const life = this.#life;
    if (life === undefined) return;
    this.#follow();
    const { appliedIndex, committedIndex } = life.replica;
    this.#promises.hold(
      "appliedIsCommitted",
      appliedIndex <= committedIndex,
      () => `applied ${appliedIndex}, committed ${committedIndex}`,
    );
    if (appliedIndex > 0) {
      this.#promises.hold(
        "committedIsDurable",
        committedIndex <= life.syncedIndex,
        () => `committed ${committedIndex}, synced ${life.syncedIndex}`,
      );
    }
    if (this.#disk.failures > this.#failuresSeen) {
      this.#failuresSeen = this.#disk.failures;
      this.#promises.hold(
        "failureEndsTheMember",
        life.hasFailed,
        () => "a call of the disk failed, and the member goes on",
      );
    }
  }

  /** Brings the oracle to where the member is, and looks at what the member made of each entry. */
  #follow(): void {
    const life = this.#life;
    if (life === undefined) return;
    this.#oracle.advanceTo(life.replica.appliedIndex, (step) => {
      this.#firstTime(step);
      this.#checkRevision(life, step);
    });
  }

  #firstTime({ index, request, answer }: Step): void {
    if (index <= this.#appliedOnce) return;
    this.#appliedOnce = index;
    if (request?.header === undefined) return;
    const { ID } = request.header;
    const isClients =
      request.put !== undefined ||
      request.txn !== undefined ||
      request.deleteRange !== undefined ||
      request.leaseGrant !== undefined;
    const isSent = this.#clients.takeSent(request) || !isClients;
    this.#promises.hold(
      "eachEntryIsOneRequest",
      isSent && !this.#requestIds.has(ID),
      () => `entry ${index} is of no request, or of one that was there before`,
    );
    this.#requestIds.add(ID);
    const isDone = answer?.startsWith("@") === true;
    if (!isDone) return;
    if (request.leaseRevoke !== undefined) this.#ledger.revoked(request.leaseRevoke.ID);
    if (request.leaseCheckpoint !== undefined) this.#reach("lease checkpoints");
    if (request.compaction !== undefined) this.#reach("compactions");
    if (request.leaseGrant !== undefined) {
      const ttl = this.#oracle.model.leases.get(request.leaseGrant.ID) ?? 0;
      this.#ledger.granted(request.leaseGrant.ID, ttl, this.#scheduler.nowMs);
    }
  }

  /** What the member's store holds under the revision of an entry is what the model made of it, in order. */
  #checkRevision({ replica }: Life, { index, request, changes }: Step): void {
    const revision = changes[0]?.modRevision;
    if (revision === undefined || revision < replica.store.compactRevision) return;
    const { revisions } = replica.store.history.readEvents(revision, { revisionsMax: 1, bytesMax: 1 });
    const [found] = revisions;
    const actual = found?.events.map(({ type, kv }) =>
      type === "put" ? `put ${textOfKeyValue(kv)}` : `delete ${textOfKeyValue(kv)}`,
    );
    const expected = changes.map((change) =>
      change.version > 0
        ? `put ${keyText(change)}`
        : `delete ${keyText({ ...change, createRevision: 0, lease: 0n })}`,
    );
    this.#promises.equal(
      request?.leaseRevoke === undefined ? "eachRevisionIsOneWrite" : "leasesDeleteOnlyAttachedKeys",
      `${found?.revision} ${actual?.join(" ")}`,
      `${revision} ${expected.join(" ")}`,
      () => `entry ${index}`,
    );
  }

  // Lives.

  #bootLater(): void {
    this.#scheduler.at(1 + this.#timeRandom.below(2_000), {
      life: world,
      kind: "boot",
      run: () => this.#boot(),
    });
  }

  #boot(): void {
    const opened = this.#open();
    if (opened === undefined) {
      this.#bootLater();
      return;
    }
    const number = ++this.#lives;
    this.#oracle.survived(opened.contents, {
      index: this.#clients.seenIndex,
      applied: this.#oracle.appliedIndex,
    });
    const life = this.#newLife(number, opened);
    this.#promises.hold(
      "storeIsNotAheadOfTheLog",
      life.bootIndex <= opened.contents.hardState.commit,
      () => `the store holds index ${life.bootIndex}, the log commits ${opened.contents.hardState.commit}`,
    );
    if (opened.repaired !== undefined) this.#reach("torn tails repaired");
    if (life.bootIndex < opened.contents.hardState.commit) this.#reach("lives with a log to replay");
    this.#life = life;
    this.#oracle.restart(life.bootIndex, (step) => this.#firstTime(step));
    this.#oracle.compareStores(life.replica, life.engine);
    this.#trace.note("life", `${number} from ${life.bootIndex}`);
    life.start(() => this.#promises.hold("bootSucceeds", true, () => ""));
  }

  /** Undefined when a fault prevented it. */
  #open(): OpenedLog | undefined {
    const cuts = this.#isOn("powerCutAtBoot") && this.#faultRandom.below(3) === 0;
    if (cuts) this.#disk.cutPowerAfter(this.#faultRandom.below(12));
    const reason = this.#armAtBoot();
    try {
      const opened = openFiles(this.#disk, this.#settings);
      this.#disk.cutPowerAfter(Number.POSITIVE_INFINITY);
      this.#disk.failAfter(Number.POSITIVE_INFINITY, "EIO");
      return opened;
    } catch (error) {
      if (error instanceof PowerCut) {
        this.#fire("powerCutAtBoot");
        this.#cutPower();
        return undefined;
      }
      if (!(error instanceof Fatal)) throw error;
      const isPlanted = this.#disk.failures > this.#failuresSeen;
      this.#failuresSeen = this.#disk.failures;
      this.#promises.hold("bootSucceeds", isPlanted, () => `${error.reason}: ${error.message}`);
      this.#promises.equal("failureEndsTheMember", error.reason, reason, () => error.message);
      this.#disk.kill();
      return undefined;
    }
  }

  /** Now and then a call of the disk fails while the log is opened. */
  #armAtBoot(): FatalReason | undefined {
    if (this.#faultRandom.below(6) > 0) return undefined;
    const calls = this.#faultRandom.below(8);
    if (this.#isOn("diskError")) this.#disk.failAfter(calls, "EIO");
    else if (this.#isOn("diskFull")) this.#disk.failAfter(calls, "ENOSPC");
    else return undefined;
    return this.#isOn("diskError") ? "IO_ERROR" : "DISK_FULL";
  }

  #newLife(number: number, opened: OpenedLog): Life {
    try {
      return new Life(number, opened, this.#image, {
        settings: this.#settings,
        scheduler: this.#scheduler,
        disk: this.#disk,
        mutant: this.#mutant,
        random: this.#lifeRandom,
        logStepMs: () => this.#logStepMs(),
        flushMs: () => this.#flushMs(),
        takeStoreError: () => this.#takeStoreError(),
        onAppend: (entry) => this.#oracle.append(entry),
        onOwnProposal: ({ leaseRevoke }) => {
          if (leaseRevoke === undefined) return;
          this.#reach("leases expired");
          this.#ledger.expiring(leaseRevoke.ID, this.#scheduler.nowMs);
        },
        onFatal: (error) => this.#onFatal(error),
      });
    } catch (error) {
      if (!(error instanceof Fatal)) throw error;
      this.#promises.hold("bootSucceeds", false, () => `${error.reason}: ${error.message}`);
      throw error;
    }
  }

  /** The process is told to end, and does so a moment later. */
  #onFatal(error: FatalError): void {
    this.#promises.equal("failureEndsTheMember", error.reason, this.#armed, () => error.message);
    this.#armed = undefined;
    const life = this.#life;
    assert(life !== undefined, "only a life fails");
    life.hasFailed = true;
    this.#scheduler.at(this.#faultRandom.below(20), {
      life: life.number,
      kind: "exit",
      run: () => this.#endLife(this.#isOn("powerCut") && this.#faultRandom.below(2) === 0 ? "power" : "kill"),
    });
  }

  #endLife(how: "kill" | "power"): void {
    const life = this.#life;
    assert(life !== undefined, "there is a life to end");
    this.#trace.note("end", how);
    this.#follow();
    for (const watcher of this.#watchers) watcher.disconnect(this.#oracle.model);
    const losesFlush = this.#isOn("lostFlush") && this.#faultRandom.below(2) === 0;
    const image = life.engine.image();
    const imageWithFlush = life.engine.imageWithFlushUnderWay();
    this.#image = losesFlush ? image : imageWithFlush;
    if (losesFlush && life.engine.isFlushing) this.#fire("lostFlush");
    if (how === "power") this.#cutPower();
    else this.#disk.kill();
    this.#forgetLife(life);
    if (!life.hasFailed) {
      this.#crashes++;
      this.#reach("crashes");
    }
    this.#bootLater();
  }

  #forgetLife(life: Life): void {
    this.#disk.failAfter(Number.POSITIVE_INFINITY, "EIO");
    this.#armed = undefined;
    this.#isStoreErrorArmed = false;
    this.#isEndDue = false;
    this.#scheduler.endLife(life.number);
    this.#life = undefined;
  }

  #cutPower(): void {
    const losses = {
      writes: this.#isOn("lostWrites"),
      torn: this.#isOn("tornWrites"),
      names: this.#isOn("lostNames"),
    };
    const { writes, torn, names } = this.#disk.crash(this.#faultRandom, losses);
    this.#fire("lostWrites", writes);
    this.#fire("tornWrites", torn);
    this.#fire("lostNames", names);
  }

  // Faults.

  #isOn(fault: FaultName): boolean {
    return this.#areFaultsOn && this.#settings.faults.has(fault);
  }

  #reach(place: PlaceName): void {
    this.#reached.set(place, (this.#reached.get(place) ?? 0) + 1);
  }

  #fire(fault: FaultName, times = 1): void {
    if (times > 0) this.#trace.note("fault", fault);
    this.#fired.set(fault, (this.#fired.get(fault) ?? 0) + times);
  }

  #drawPlan(): { readonly at: number; readonly kinds: readonly EndKind[] }[] {
    const { events, crashes, faults } = this.#settings;
    const place = (): number => 20 + this.#faultRandom.below(events - 20);
    const on = crashKinds.filter((kind) => faults.has(kind));
    const kinds: readonly EndKind[] = on.length > 0 ? on : ["kill"];
    const plan = Array.from({ length: crashes }, () => ({ at: place(), kinds }));
    for (const kind of otherEnds) {
      if (!faults.has(kind)) continue;
      for (let count = 1 + this.#faultRandom.below(2); count > 0; count--) {
        plan.push({ at: place(), kinds: [kind] });
      }
    }
    return plan.sort((a, b) => b.at - a.at);
  }

  #endIfPlanned(): void {
    const next = this.#plan.at(-1);
    const life = this.#life;
    if (next === undefined || this.#trace.steps < next.at || life === undefined) return;
    if (this.#isEnding()) return;
    this.#plan.pop();
    const kind = next.kinds[this.#faultRandom.below(next.kinds.length)] as EndKind;
    this.#trace.note("planned", kind);
    switch (kind) {
      case "kill":
        this.#fire("kill");
        this.#endLife("kill");
        break;
      case "powerCut":
        this.#fire("powerCut");
        this.#endLife("power");
        break;
      case "powerCutInCall":
        this.#disk.cutPowerAfter(this.#faultRandom.below(30));
        this.#endLater(life, "power");
        break;
      case "diskError":
      case "diskFull":
        this.#armed = kind === "diskError" ? "IO_ERROR" : "DISK_FULL";
        this.#disk.failAfter(this.#faultRandom.below(30), kind === "diskError" ? "EIO" : "ENOSPC");
        this.#fire(kind);
        this.#endLater(life, "kill");
        break;
      case "storeError":
        this.#armed = "IO_ERROR";
        this.#isStoreErrorArmed = true;
        this.#endLater(life, "kill");
        break;
      case "stop":
        this.#stop(life);
        break;
    }
  }

  /** A fault that waits for its call may wait for ever. */
  #endLater(life: Life, how: "kill" | "power"): void {
    this.#isEndDue = true;
    const run = (): void => {
      if (!life.hasFailed) this.#endLife(how);
    };
    this.#scheduler.at(3_000, { life: life.number, kind: "end", run });
  }

  #stop(life: Life): void {
    this.#fire("stop");
    for (const watcher of this.#watchers) watcher.disconnect(this.#oracle.model);
    if (!life.isReady) {
      this.#endLife("kill");
      return;
    }
    const { appliedIndex } = life.replica;
    life.stop(() => this.#stopped(life, appliedIndex));
  }

  #stopped(life: Life, appliedIndex: number): void {
    this.#follow();
    this.#image = life.engine.image();
    this.#promises.hold(
      "stopLosesNothing",
      life.flushedIndex >= appliedIndex,
      () => `stopped at index ${appliedIndex}, the store holds ${life.flushedIndex}`,
    );
    // What was committed while it stopped is in the log only.
    if (life.flushedIndex === life.replica.appliedIndex)
      this.#oracle.compareStores(life.replica, life.engine);
    // Everything is synced, so not even a power cut takes anything.
    if (this.#isOn("powerCut")) this.#cutPower();
    else this.#disk.kill();
    this.#forgetLife(life);
    const opened = this.#open();
    if (opened !== undefined) {
      const last = opened.contents.snapshot.index + opened.contents.entries.length;
      this.#promises.hold(
        "stopLosesNothing",
        last >= appliedIndex && opened.contents.hardState.commit >= appliedIndex,
        () => `stopped at index ${appliedIndex}, the log ends at ${last}`,
      );
    }
    this.#bootLater();
  }

  #pauseLater(): void {
    this.#scheduler.at(this.#timeRandom.below(6_000), {
      life: world,
      kind: "pause",
      run: () => {
        if (!this.#areFaultsOn) return;
        this.#fire("pause");
        // The long one is longer than the time between two checkpoints of a lease.
        const isLong = this.#timeRandom.below(8) === 0;
        this.#scheduler.pause(isLong ? longPauseMs : 50 + this.#timeRandom.below(4_000));
        this.#pauseLater();
      },
    });
  }

  #logStepMs(): number {
    if (!this.#isOn("slowLog") || this.#timeRandom.below(50) > 0) return this.#timeRandom.below(2_000) / 1000;
    this.#fire("slowLog");
    return this.#timeRandom.below(this.#timeRandom.below(5) === 0 ? slowLogMsMax : 500);
  }

  #flushMs(): number {
    if (!this.#isOn("slowFlush") || this.#timeRandom.below(10) > 0)
      return this.#timeRandom.below(5_000) / 1000;
    this.#fire("slowFlush");
    return this.#timeRandom.below(2_000);
  }

  #takeStoreError(): boolean {
    if (!this.#isStoreErrorArmed) return false;
    this.#isStoreErrorArmed = false;
    this.#fire("storeError");
    return true;
  }

  // Clients.

  #clientLater(): void {
    const { thinkMs } = this.#settings;
    // Now and then a client rests, so that leases expire and everything becomes quiet.
    const restMs = this.#timeRandom.below(100) === 0 ? this.#timeRandom.below(4_000) : 0;
    const delayMs = restMs + this.#timeRandom.below(2 * thinkMs * 1000) / 1000;
    this.#scheduler.at(delayMs, { life: world, kind: "client", run: () => this.#clientActs() });
  }

  #clientActs(): void {
    if (!this.#areFaultsOn) return;
    this.#clientLater();
    const life = this.#life;
    if (life === undefined || !life.isReady || life.isStopping) return;
    if (this.#load.chance(85)) this.#trace.note("call", this.#clients.act(life));
    else {
      const number = this.#load.below(this.#watchers.length);
      const watcher = this.#watchers[number] as WatchClient;
      this.#follow();
      this.#trace.note(
        `watcher ${number}`,
        watcher.act(life.replica, this.#oracle.model, this.#scheduler.nowMs),
      );
    }
  }

  #newWatcher(number: number): WatchClient {
    return new WatchClient({
      load: this.#load,
      promises: this.#promises,
      reach: (place) => this.#reach(place),
      readLater: (read) => {
        const life = this.#life;
        assert(life !== undefined, "only a running member tells its watchers");
        const delayMs = this.#timeRandom.below(this.#timeRandom.below(20) === 0 ? 3_000 : 30);
        this.#scheduler.at(delayMs, { life: life.number, kind: "watch", run: read });
      },
      onResponse: (response) => {
        this.#trace.note(`watcher ${number}`, describe(response));
        this.#clients.saw(this.#life?.replica.appliedIndex ?? 0, response.revision);
      },
    });
  }

  // The end: no more faults, and everything has to come right.

  #settle(): void {
    this.#areFaultsOn = false;
    this.#disk.failAfter(Number.POSITIVE_INFINITY, "EIO");
    this.#disk.cutPowerAfter(Number.POSITIVE_INFINITY);
    this.#runUntil(() => this.#life?.isReady === true && !this.#life.isStopping, 60_000);
    const life = this.#life;
    assert(life !== undefined, "the member is up");
    this.#promises.hold("bootSucceeds", life.isReady, () => "the member does not get ready");
    // A slow step of the log that began before may still be under way.
    if (this.#settings.faults.has("slowLog")) this.#runUntil(() => false, slowLogMsMax);
    const lowered = { action: AlarmAction.DEACTIVATE, memberID: nodeId(1), alarm: AlarmType.NOSPACE };
    this.#clients.propose(life, { alarm: codecs.AlarmRequest.create(lowered) });
    let isWritten = false;
    this.#clients.propose(life, putOperation("k00", "settled"), () => {
      isWritten = true;
    });
    this.#runUntil(() => isWritten, progressMsMax);
    this.#promises.hold("progressAfterFaults", isWritten, () => `no write in ${progressMsMax} ms`);
    this.#runUntil(() => false, settleMs);
    this.#follow();
    this.#promises.equal(
      "leasesAreRevokedEventually",
      this.#shortLeases().join(),
      "",
      () => `leases left after ${settleMs} ms`,
    );
    for (const watcher of this.#watchers) watcher.drain();
    for (const watcher of this.#watchers) watcher.check(this.#oracle.model, true);
    let isStopped = false;
    life.stop(() => {
      isStopped = true;
    });
    this.#runUntil(() => isStopped, 60_000);
    this.#promises.hold("stopLosesNothing", isStopped, () => "the member does not stop");
    this.#oracle.compareStores(life.replica, life.engine);
  }

  /** Leases whose time is over, since nobody has kept them alive. */
  #shortLeases(): bigint[] {
    return [...this.#oracle.model.leases].filter(([, ttl]) => ttl * 1000 < settleMs).map(([id]) => id);
  }

  #runUntil(isDone: () => boolean, ms: number): void {
    const endMs = this.#scheduler.nowMs + ms;
    this.#scheduler.at(ms, { life: world, kind: "end of wait", run: () => {} });
    while (!isDone() && this.#scheduler.nowMs < endMs) this.#step();
  }
}
