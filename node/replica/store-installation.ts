// The installation of a store that a leader sent: from its arrival, over Raft's decision, to its taking the place of what
// this member had, between two entries. One at a time. Tested by the simulator.

import type { Applier } from "../apply/applier.ts";
import type { Lessor } from "../lease/lessor.ts";
import { assert, must } from "../lib/assert.ts";
import type { Engine, StoreGeneration } from "../lib/backend.ts";
import type { NodeId } from "../lib/ids.ts";
import type { Logger } from "../lib/log.ts";
import type { Members } from "../membership/members.ts";
import type { Overlay } from "../mvcc/overlay.ts";
import type { Store } from "../mvcc/store.ts";
import type { WatchHub } from "../mvcc/watch-hub.ts";
import type { MemoryStorage } from "../raft/memory-storage.ts";
import type { HardState, Message } from "../wire/raft.ts";
import type { ApplyLoop } from "./apply-loop.ts";
import { type DurableState, readDurableState } from "./durable-state.ts";
import type { Flusher } from "./flusher.ts";
import type { LogStore } from "./log-store.ts";
import type { ReplicaOptions } from "./options.ts";
import type { Snapshotter } from "./snapshotter.ts";

export interface StoreInstallationParts {
  readonly nodeId: NodeId;
  readonly log: LogStore;
  readonly engine: Engine;
  readonly network: ReplicaOptions["network"];
  readonly logger: Logger;
  readonly overlay: Overlay;
  readonly storage: MemoryStorage;
  readonly members: Members;
  readonly lessor: Lessor;
  readonly store: Store;
  readonly applier: Applier;
  readonly hub: WatchHub;
  readonly applyLoop: ApplyLoop;
  readonly flusher: Flusher;
  readonly snapshotter: Snapshotter;
  readonly isRunning: () => boolean;
  /** Raft is given the message, and what it makes of it is handled at once: `install`, if it wants the store. */
  readonly offer: (message: Message) => void;
  /** The log is durable up to this index, as what was committed. */
  readonly onLogged: (index: number) => void;
  /** To Raft here, and to other members. */
  readonly deliver: (responses: readonly Message[]) => void;
  readonly drive: () => void;
  readonly onRemoved: () => void;
  /** Everything up to this index is applied. */
  readonly onInstalled: (index: number) => void;
}

export class StoreInstallation {
  readonly #parts: StoreInstallationParts;
  #received:
    | {
        readonly index: number;
        readonly generation: StoreGeneration;
        isInstalling: boolean;
        /** What is answered, once it is installed, about entries that follow it. As many as a leader has in flight. */
        readonly behind: Message[];
      }
    | undefined;

  constructor(parts: StoreInstallationParts) {
    this.#parts = parts;
  }

  /** Raft has decided for a store, which takes the place of what this member has. */
  get isUnderWay(): boolean {
    return this.#received?.isInstalling ?? false;
  }

  /** A store arrived. It is installed when it is ahead of what this member has, and discarded otherwise. */
  receive(message: Message, generation: StoreGeneration): void {
    if (this.#received !== undefined) {
      generation.discard();
      return;
    }
    const index = must(message.snapshot, "a snapshot message has a snapshot").metadata.index;
    this.#received = { index, generation, isInstalling: false, behind: [] };
    this.#parts.offer(message);
    // Raft had no use for it.
    if (this.#received?.isInstalling === false) {
      this.#received = undefined;
      generation.discard();
    }
  }

  /**
   * Raft wants the store of this MsgStorageAppend, whose responses and `votes` leave behind it. The order that is safe at
   * every crash: the store is there, whole, and named as the one to come; then the log begins anew behind the snapshot;
   * then the store takes its place, between two entries.
   */
  install(message: Message, hardState: HardState, votes: readonly Message[]): void {
    const { log, storage, flusher, applyLoop, logger } = this.#parts;
    const snapshot = must(message.snapshot, "what is installed is a snapshot");
    const { index, term, confState } = snapshot.metadata;
    const received = this.#received;
    assert(received !== undefined && received.index === index, "a snapshot comes with its store", { index });
    logger.info("applying snapshot", {
      "current-applied-index": applyLoop.index,
      "incoming-leader-snapshot-index": index,
    });
    received.isInstalling = true;
    applyLoop.hold();
    received.generation.announce(index);
    log.installSnapshot({ index, term, confState, data: snapshot.data }, hardState, () => {
      storage.applySnapshot(snapshot);
      this.#parts.onLogged(index);
    });
    log.append({ hardState: undefined, entries: message.entries }, () => {
      storage.append(message.entries);
      flusher.hold(() => {
        if (!this.#parts.isRunning()) return;
        this.#replace(received.generation, { index, term, confState });
        this.#received = undefined;
        this.#parts.deliver([...message.responses, ...votes, ...received.behind]);
        this.#parts.drive();
      });
    });
  }

  /**
   * Raft hears of nothing behind a snapshot before it hears of the snapshot: while one is being installed, answers of the
   * log wait for that. Those for entries before it come late then, which only repeats what it says. True: kept here.
   */
  keepsBack(responses: readonly Message[]): boolean {
    if (this.#received?.isInstalling !== true) return false;
    this.#received.behind.push(...responses);
    return true;
  }

  #replace(generation: StoreGeneration, applied: DurableState): void {
    const { engine, overlay, network, logger, members, lessor, store, applier, hub } = this.#parts;
    engine.install(generation);
    overlay.reset();
    const stored = readDurableState(overlay);
    assert(stored?.index === applied.index, "the store stands where the snapshot does", {
      stored: stored?.index,
      index: applied.index,
    });
    const peersBefore = members.list();
    members.restored();
    lessor.restored();
    store.restored();
    applier.alarms.restored();
    for (const replaced of this.#parts.applyLoop.restart(applied)) this.#parts.deliver(replaced.responses);
    this.#parts.flusher.restart(applied.index);
    this.#parts.snapshotter.restart(applied.index);
    hub.restored();
    for (const { id } of peersBefore) if (members.get(id) === undefined) network.removePeer(id);
    for (const { id, peerUrls } of members.list()) {
      if (id === this.#parts.nodeId) continue;
      network.addPeer(id, peerUrls);
      network.updatePeer(id, peerUrls);
    }
    if (members.isRemoved(this.#parts.nodeId)) this.#parts.onRemoved();
    logger.info("applied snapshot", { "incoming-leader-snapshot-index": applied.index });
    this.#parts.onInstalled(applied.index);
  }
}
