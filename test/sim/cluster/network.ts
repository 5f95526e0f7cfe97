// The network between simulated members: messages are dropped, duplicated, delayed and overtaken, and links are cut in
// one direction or both. A whole store travels as the image that the receiver would have made of the file.

import type { NodeId } from "../../../node/lib/ids.ts";
import type { Random } from "../../../node/lib/random.ts";
import type { MemoryImage } from "../../../node/storage/memory/engine.ts";
import type { Message } from "../../../node/wire/raft.ts";
import type { Scheduler } from "../scheduler.ts";

export interface NetworkSettings {
  /** Percent. */
  readonly drop: number;
  readonly duplicate: number;
  readonly delayMsMax: number;
  /** Percent of messages that are overtaken by many. */
  readonly clog: number;
  /** Percent of messages that arrive a second time, long after. */
  readonly replay: number;
}

export interface NetworkPorts {
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly settings: NetworkSettings;
  readonly deliver: (message: Message, store: MemoryImage | undefined) => void;
  /** The sender learns that a message to this peer was lost, as a transport would notice. */
  readonly onUnreachable: (from: NodeId, to: NodeId) => void;
}

const clogMsMax = 3_000;
const replayMsMax = 3_000;
const storeMsMax = 500;

export class VirtualNetwork {
  readonly #ports: NetworkPorts;
  /** Directions that carry nothing, as "from>to". */
  #cut = new Set<string>();
  #isHealed = false;
  dropped = 0;
  cutCount = 0;

  constructor(ports: NetworkPorts) {
    this.#ports = ports;
  }

  send(message: Message, store: MemoryImage | undefined): void {
    const { scheduler, random, settings, onUnreachable } = this.#ports;
    const { from, to } = message;
    const isLost =
      this.#cut.has(direction(from, to)) || (!this.#isHealed && random.below(100) < settings.drop);
    if (isLost) {
      this.dropped++;
      scheduler.at(1, { life: 0, kind: "unreachable", run: () => onUnreachable(from, to) });
      return;
    }
    const run = (): void => {
      if (!this.#cut.has(direction(from, to))) this.#ports.deliver(message, store);
    };
    const kind = `deliver ${message.type}`;
    scheduler.at(this.#delayMs(store !== undefined), { life: 0, kind, run });
    if (this.#isHealed || store !== undefined) return;
    if (random.below(100) < settings.duplicate) scheduler.at(this.#delayMs(false), { life: 0, kind, run });
    if (random.below(100) < settings.replay) {
      scheduler.at(random.below(replayMsMax), { life: 0, kind: `replay ${message.type}`, run });
    }
  }

  /** Cuts one direction. */
  cut(from: NodeId, to: NodeId): void {
    this.cutCount++;
    this.#cut.add(direction(from, to));
  }

  /** Members on one side hear nothing of those on the other. */
  partition(side: readonly NodeId[], others: readonly NodeId[]): void {
    for (const a of side) {
      for (const b of others) {
        this.cut(a, b);
        this.cut(b, a);
      }
    }
  }

  /** Every direction between two of these is cut, or not, by chance. */
  tear(ids: readonly NodeId[]): void {
    const { random } = this.#ports;
    for (const from of ids) {
      for (const to of ids) if (from !== to && random.below(2) === 0) this.cut(from, to);
    }
  }

  /** All links carry again. */
  mend(): void {
    this.#cut.clear();
  }

  /** From now on nothing is lost any more. */
  heal(): void {
    this.mend();
    this.#isHealed = true;
  }

  #delayMs(isStore: boolean): number {
    const { random, settings } = this.#ports;
    if (isStore) return 1 + random.below(storeMsMax);
    if (!this.#isHealed && random.below(100) < settings.clog) return random.below(clogMsMax);
    return random.below(1 + settings.delayMsMax) / 2;
  }
}

function direction(from: NodeId, to: NodeId): string {
  return `${from}>${to}`;
}
