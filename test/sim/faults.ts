// The faults of a run: which are switched on, when they strike, and how often each did.

import type { FatalReason } from "../../node/lib/fatal.ts";
import type { Random } from "../../node/lib/random.ts";
import type { SimDisk } from "./disk.ts";
import { type FaultName, faultNames, type Settings } from "./settings.ts";
import type { Trace } from "./trace.ts";

const crashKinds = ["kill", "powerCut", "powerCutInCall"] as const;
const otherEnds = ["stop", "diskError", "diskFull", "storeError"] as const;
export type EndKind = (typeof crashKinds)[number] | (typeof otherEnds)[number];

/** Above the time that a request waits, so that some of them time out. */
export const slowLogMsMax = 9_000;
/** Changing calls of the disk before a planted fault strikes, at most. */
const callsMax = 30;
const callsAtBootMax = 12;

type DiskFault = "diskError" | "diskFull";
const codes = { diskError: "EIO", diskFull: "ENOSPC" } as const;
const reasons = { diskError: "IO_ERROR", diskFull: "DISK_FULL", storeError: "IO_ERROR" } as const;

export interface FaultPorts {
  readonly settings: Settings;
  readonly disk: SimDisk;
  readonly trace: Trace;
  readonly random: Random;
  /** For how long things take. */
  readonly timeRandom: Random;
}

export class Faults {
  readonly fired = new Map<FaultName, number>(faultNames.map((name) => [name, 0]));
  readonly #ports: FaultPorts;
  /** Where lives end, by event number, the next one last. */
  readonly #plan: { readonly at: number; readonly kinds: readonly EndKind[] }[];
  #hasEnded = false;
  #armed: DiskFault | "storeError" | undefined;
  #failuresSeen = 0;

  constructor(ports: FaultPorts) {
    this.#ports = ports;
    this.#plan = drawPlan(ports.settings, ports.random);
  }

  /** From now on nothing goes wrong any more. */
  end(): void {
    this.#hasEnded = true;
    this.disarm();
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  isOn(fault: FaultName): boolean {
    return !this.#hasEnded && this.#ports.settings.faults.has(fault);
  }

  fire(fault: FaultName, times = 1): void {
    if (times > 0) this.#ports.trace.note("fault", fault);
    this.fired.set(fault, (this.fired.get(fault) ?? 0) + times);
  }

  /** Whether lives are still to end. */
  get hasPlan(): boolean {
    return this.#plan.length > 0;
  }

  /** How the life ends, if it is time. */
  takePlanned(step: number): EndKind | undefined {
    const next = this.#plan.at(-1);
    if (next === undefined || step < next.at) return undefined;
    this.#plan.pop();
    return next.kinds[this.#ports.random.below(next.kinds.length)];
  }

  /** The power goes in front of some call of the disk. */
  armPowerCut(): void {
    this.#ports.disk.cutPowerAfter(this.#ports.random.below(callsMax));
  }

  /** Some call of the disk, or the next flush of the store, fails. */
  arm(kind: DiskFault | "storeError"): void {
    this.#armed = kind;
    if (kind !== "storeError") this.#ports.disk.failAfter(this.#ports.random.below(callsMax), codes[kind]);
  }

  /** Now and then the power goes, or a call fails, while the log is opened. */
  armAtBoot(): void {
    const { disk, random } = this.#ports;
    if (this.isOn("powerCutAtBoot") && random.below(3) === 0) {
      disk.cutPowerAfter(random.below(callsAtBootMax));
    }
    const kind = (["diskError", "diskFull"] as const).find((name) => this.isOn(name));
    if (kind === undefined || random.below(6) > 0) return;
    this.#armed = kind;
    disk.failAfter(random.below(callsAtBootMax), codes[kind]);
  }

  disarm(): void {
    this.#armed = undefined;
    this.#ports.disk.failAfter(Number.POSITIVE_INFINITY, "EIO");
    this.#ports.disk.cutPowerAfter(Number.POSITIVE_INFINITY);
  }

  /** What the member has to name as the reason of its end. */
  get reason(): FatalReason | undefined {
    return this.#armed === undefined ? undefined : reasons[this.#armed];
  }

  /** Whether a call of the disk has failed since this was asked last. */
  takeDiskFailure(): boolean {
    const { failures } = this.#ports.disk;
    if (failures === this.#failuresSeen) return false;
    this.#failuresSeen = failures;
    if (this.#armed !== undefined) this.fire(this.#armed);
    return true;
  }

  /** Whether the flush that is about to finish fails instead. */
  takeStoreError(): boolean {
    if (this.#armed !== "storeError") return false;
    this.fire("storeError");
    return true;
  }

  /** Takes from the disk what was not synced. */
  cutPower(): void {
    const { disk, random } = this.#ports;
    const { writes, torn, names } = disk.crash(random, {
      writes: this.isOn("lostWrites"),
      torn: this.isOn("tornWrites"),
      names: this.isOn("lostNames"),
    });
    this.fire("lostWrites", writes);
    this.fire("tornWrites", torn);
    this.fire("lostNames", names);
  }

  /** How long a write or a sync of the log takes. */
  logStepMs(): number {
    const { timeRandom } = this.#ports;
    if (!this.isOn("slowLog") || timeRandom.below(50) > 0) return timeRandom.below(2_000) / 1000;
    this.fire("slowLog");
    return timeRandom.below(timeRandom.below(5) === 0 ? slowLogMsMax : 500);
  }

  /** How long a flush of the store takes. */
  flushMs(): number {
    const { timeRandom } = this.#ports;
    if (!this.isOn("slowFlush") || timeRandom.below(10) > 0) return timeRandom.below(5_000) / 1000;
    this.fire("slowFlush");
    return timeRandom.below(2_000);
  }
}

function drawPlan(
  { events, crashes, faults }: Settings,
  random: Random,
): { readonly at: number; readonly kinds: readonly EndKind[] }[] {
  const place = (): number => 20 + random.below(events - 20);
  const on = crashKinds.filter((kind) => faults.has(kind));
  const kinds: readonly EndKind[] = on.length > 0 ? on : ["kill"];
  const plan = Array.from({ length: crashes }, () => ({ at: place(), kinds }));
  for (const kind of otherEnds) {
    if (!faults.has(kind)) continue;
    for (let count = 1 + random.below(2); count > 0; count--) plan.push({ at: place(), kinds: [kind] });
  }
  return plan.sort((a, b) => b.at - a.at);
}
