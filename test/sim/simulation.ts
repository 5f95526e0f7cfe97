// A run of one seed. Purpose: the whole member but sockets and threads, in one process, under virtual time, with
// faults wherever chance puts them, and every promise asked for as it goes. First anything may break; then the
// faults end, and the member has to make progress and to be whole. Everything that happens follows from the seed.

import { assert } from "../../node/lib/assert.ts";
import type { FatalError } from "../../node/lib/fatal.ts";
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
import { Faults, slowLogMsMax } from "./faults.ts";
import { LeaseLedger } from "./leases.ts";
import { Life, openFiles, ttlSecondsMin } from "./life.ts";
import { Load } from "./load.ts";
import type { Mutant } from "./mutants.ts";
import { Oracle, type Step } from "./oracle.ts";
import { type PlaceName, placeNames } from "./places.ts";
import { type PromiseName, Promises } from "./promises.ts";
import { Scheduler } from "./scheduler.ts";
import { drawSettings, type FaultName, type Settings, settingsText } from "./settings.ts";
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

/** Virtual time for everything to settle once the faults have ended: the longest lease and what may delay it. */
const settleMs = 16_000;
const progressMsMax = 5_000;
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
  /** A planted fault waits for its call, and the life ends with it or without. */
  #isEndDue = false;
  /** Applied for the first time by any life up to here. */
  #appliedOnce = 0;
  readonly #requestIds = new Set<bigint>();
  readonly #faults: Faults;

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
    this.#faults = new Faults({
      settings: this.#settings,
      disk: this.#disk,
      trace: this.#trace,
      random: this.#faultRandom,
      timeRandom: this.#timeRandom,
    });
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
  }

  run(): RunResult {
    const { events } = this.#settings;
    this.#trace.note("seed", String(this.#seed));
    this.#trace.note("settings", settingsText(this.#settings));
    this.#boot();
    for (let i = 0; i < this.#settings.clients; i++) this.#clientLater();
    if (this.#faults.isOn("pause")) this.#pauseLater();
    while (this.#trace.steps < events || this.#faults.hasPlan || this.#isEnding()) {
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
      fired: this.#faults.fired,
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
      this.#faults.fire("powerCutInCall");
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
    if (this.#faults.takeDiskFailure()) {
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
    this.#faults.armAtBoot();
    try {
      return openFiles(this.#disk, this.#settings);
    } catch (error) {
      if (error instanceof PowerCut) {
        this.#faults.fire("powerCutAtBoot");
        this.#faults.cutPower();
        return undefined;
      }
      if (!(error instanceof Fatal)) throw error;
      const isPlanted = this.#faults.takeDiskFailure();
      this.#promises.hold("bootSucceeds", isPlanted, () => `${error.reason}: ${error.message}`);
      this.#promises.equal("failureEndsTheMember", error.reason, this.#faults.reason, () => error.message);
      this.#disk.kill();
      return undefined;
    } finally {
      this.#faults.disarm();
    }
  }

  #newLife(number: number, opened: OpenedLog): Life {
    try {
      return new Life(number, opened, this.#image, {
        settings: this.#settings,
        scheduler: this.#scheduler,
        disk: this.#disk,
        mutant: this.#mutant,
        random: this.#lifeRandom,
        logStepMs: () => this.#faults.logStepMs(),
        flushMs: () => this.#faults.flushMs(),
        takeStoreError: () => this.#faults.takeStoreError(),
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
    this.#promises.equal("failureEndsTheMember", error.reason, this.#faults.reason, () => error.message);
    const life = this.#life;
    assert(life !== undefined, "only a life fails");
    life.hasFailed = true;
    this.#scheduler.at(this.#faultRandom.below(20), {
      life: life.number,
      kind: "exit",
      run: () =>
        this.#endLife(this.#faults.isOn("powerCut") && this.#faultRandom.below(2) === 0 ? "power" : "kill"),
    });
  }

  #endLife(how: "kill" | "power"): void {
    const life = this.#life;
    assert(life !== undefined, "there is a life to end");
    this.#trace.note("end", how);
    this.#follow();
    for (const watcher of this.#watchers) watcher.disconnect(this.#oracle.model);
    const losesFlush = this.#faults.isOn("lostFlush") && this.#faultRandom.below(2) === 0;
    const image = life.engine.image();
    const imageWithFlush = life.engine.imageWithFlushUnderWay();
    this.#image = losesFlush ? image : imageWithFlush;
    if (losesFlush && life.engine.isFlushing) this.#faults.fire("lostFlush");
    if (how === "power") this.#faults.cutPower();
    else this.#disk.kill();
    this.#forgetLife(life);
    if (!life.hasFailed) {
      this.#crashes++;
      this.#reach("crashes");
    }
    this.#bootLater();
  }

  #forgetLife(life: Life): void {
    this.#faults.disarm();
    this.#isEndDue = false;
    this.#scheduler.endLife(life.number);
    this.#life = undefined;
  }

  // Faults.

  #reach(place: PlaceName): void {
    this.#reached.set(place, (this.#reached.get(place) ?? 0) + 1);
  }

  #endIfPlanned(): void {
    const life = this.#life;
    if (life === undefined || this.#isEnding()) return;
    const kind = this.#faults.takePlanned(this.#trace.steps);
    if (kind === undefined) return;
    this.#trace.note("planned", kind);
    switch (kind) {
      case "kill":
        this.#faults.fire("kill");
        this.#endLife("kill");
        break;
      case "powerCut":
        this.#faults.fire("powerCut");
        this.#endLife("power");
        break;
      case "powerCutInCall":
        this.#faults.armPowerCut();
        this.#endLater(life, "power");
        break;
      case "diskError":
      case "diskFull":
      case "storeError":
        this.#faults.arm(kind);
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
    this.#faults.fire("stop");
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
    if (this.#faults.isOn("powerCut")) this.#faults.cutPower();
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
        if (this.#faults.hasEnded) return;
        this.#faults.fire("pause");
        // The long one is longer than the time between two checkpoints of a lease.
        const isLong = this.#timeRandom.below(8) === 0;
        this.#scheduler.pause(isLong ? longPauseMs : 50 + this.#timeRandom.below(4_000));
        this.#pauseLater();
      },
    });
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
    if (this.#faults.hasEnded) return;
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
    this.#faults.end();
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
