// Raft: agreement of a group of members on one log. This folder is the pure core: messages, ticks and proposals
// in, Ready out. It follows the etcd-io/raft protocol, its words and its log lines, so that it can share a cluster
// with real etcd members and replay the same transcripts.
//
// It must not know what an entry means (conf changes apart), how anything is stored or sent, what time it is, or
// that other members are in the same process. Randomness and storage come in as ports; it is synchronous and does
// nothing between calls, so the same calls give the same results.
//
// Tested by unit and property tests beside the files, by a random cluster that checks Raft's invariants
// (cluster.test.ts), and by transcripts (testdata/, replayed by replay/; `npm run raft:replay -- DIR` for others).
//
// The files, from the outside in: raw-node (this one, the whole API), step* (what messages do), raft (state and
// roles), election, replication, reads, follow, membership, tick (one part each), log and unstable (the log),
// tracker, progress and inflights (the others' logs), quorum, conf-state and conf-changer (who counts).

import { assert } from "../lib/assert.ts";
import { type NodeId, noNode } from "../lib/ids.ts";
import type { ConfState, Entry, HardState, Message } from "../wire/raft.ts";
import { type AnyConfChange, asV2, encodeConfChange, encodeConfChangeV2 } from "./conf-change.ts";
import type { RaftConfig } from "./config.ts";
import { encodedBytesOf } from "./entry-size.ts";
import { applyConfChange } from "./membership.ts";
import {
  appendThread,
  applyThread,
  isLocalType,
  isResponseType,
  isStorageThread,
  newMessage,
  noMessages,
} from "./message.ts";
import type { ProgressStatus } from "./progress.ts";
import { Raft } from "./raft.ts";
import type { RaftState, ReadState, Ready, SoftState } from "./ready.ts";
import { step } from "./step.ts";
import type { StepOutcome } from "./step-outcome.ts";
import { tick } from "./tick.ts";

export interface BasicStatus {
  readonly id: NodeId;
  readonly hardState: HardState;
  readonly lead: NodeId;
  readonly state: RaftState;
  readonly applied: number;
  readonly leadTransferee: NodeId;
}

export interface Status extends BasicStatus {
  readonly config: ConfState;
  /** By ascending id; empty unless this member leads. */
  readonly progress: readonly ProgressStatus[];
}

const emptyBytes = new Uint8Array(0);
const noReadStates: readonly ReadState[] = [];

export class RawNode {
  readonly #raft: Raft;
  readonly #asyncStorageWrites: boolean;
  /** What the driver was told last. */
  #softState: SoftState;
  #hardState: HardState;
  /** Own messages to step once the round that `ready` handed out is done. */
  #stepsOnAdvance: Message[] = [];
  #awaitsAdvance = false;

  constructor(config: RaftConfig) {
    this.#raft = new Raft(config);
    this.#asyncStorageWrites = this.#raft.config.asyncStorageWrites;
    this.#softState = this.#raft.softState();
    this.#hardState = this.#raft.hardState();
  }

  /**
   * The first start of a new cluster: puts the initial members into the log as committed conf changes of term 1, the
   * same on every member. Storage must be empty.
   */
  bootstrap(members: readonly { readonly id: NodeId; readonly context: Uint8Array }[]): void {
    const raft = this.#raft;
    assert(members.length > 0, "a cluster starts with at least one member");
    assert(raft.log.lastIndex() === 0, "only an empty log can be bootstrapped", {
      last: raft.log.lastIndex(),
    });
    this.#hardState = { term: 0, vote: noNode, commit: 0 };
    raft.becomeFollower(1, noNode);
    const changes = members.map(({ id, context }) => {
      return { id: 0n, type: "ConfChangeAddNode", nodeId: id, context } as const;
    });
    raft.log.append(
      changes.map((change, at) => {
        return { type: "EntryConfChange", term: 1, index: at + 1, data: encodeConfChange(change) } as const;
      }),
    );
    raft.log.commitTo(members.length);
    // In force before they are applied, so that the member can campaign; applying them again changes nothing.
    for (const change of changes) applyConfChange(raft, asV2(change));
  }

  /** One tick of the clock has passed. */
  tick(): void {
    tick(this.#raft);
  }

  /** Starts an election, if this member may. */
  campaign(): StepOutcome {
    return step(this.#raft, newMessage({ type: "MsgHup", to: noNode }));
  }

  /** Proposes an entry. `data` is kept, not copied. */
  propose(data: Uint8Array): StepOutcome {
    return this.#propose([{ type: "EntryNormal", term: 0, index: 0, data }]);
  }

  /** Proposes several entries at once, in this order, all or none: one append and one message a follower. */
  proposeAll(data: readonly Uint8Array[]): StepOutcome {
    const entries = new Array<Entry>(data.length);
    for (let i = 0; i < data.length; i++) {
      entries[i] = { type: "EntryNormal", term: 0, index: 0, data: data[i] as Uint8Array };
    }
    return this.#propose(entries);
  }

  /**
   * Proposes a membership change in the form it is given. "accepted" does not mean that it was appended: a change that
   * does not fit the configuration in force is replaced by an empty entry.
   */
  proposeConfChange(change: AnyConfChange): StepOutcome {
    const isV2 = "changes" in change;
    return this.#propose([
      {
        type: isV2 ? "EntryConfChangeV2" : "EntryConfChange",
        term: 0,
        index: 0,
        data: isV2 ? encodeConfChangeV2(change) : encodeConfChange(change),
      },
    ]);
  }

  #propose(entries: readonly Entry[]): StepOutcome {
    return step(this.#raft, newMessage({ type: "MsgProp", to: noNode, from: this.#raft.id, entries }));
  }

  /**
   * A committed conf change entry is being applied. Call it for every one, in order, also for one whose change the
   * application rejects: then with `nodeId` zero. Store the result with the applied index.
   */
  applyConfChange(change: AnyConfChange): ConfState {
    return applyConfChange(this.#raft, asV2(change));
  }

  /** A message arrived from a peer or from a storage thread. */
  step(message: Message): StepOutcome {
    if (!isStorageThread(message.from)) {
      if (isLocalType(message.type)) return "localMessage";
      const isUnknown = this.#raft.tracker.progress(message.from) === undefined;
      if (isUnknown && isResponseType(message.type)) return "unknownPeer";
    }
    return step(this.#raft, message);
  }

  /**
   * Asks from which index on a read is linearizable; the answer is a ReadState with the same context. It can get lost
   * (no leader, lost messages, a new term): then ask again, with a context that was not used before.
   */
  readIndex(context: Uint8Array): void {
    const entries: readonly Entry[] = [{ type: "EntryNormal", term: 0, index: 0, data: context }];
    step(this.#raft, newMessage({ type: "MsgReadIndex", to: noNode, entries }));
  }

  /** Asks the leader to hand over to a voter. */
  transferLeader(to: NodeId): void {
    step(this.#raft, newMessage({ type: "MsgTransferLeader", to: noNode, from: to }));
  }

  /** A follower stops believing in its leader, so that it grants votes before its timeout. */
  forgetLeader(): StepOutcome {
    return step(this.#raft, newMessage({ type: "MsgForgetLeader", to: noNode }));
  }

  /** The last message to `peer` could not be delivered. */
  reportUnreachable(peer: NodeId): void {
    step(this.#raft, newMessage({ type: "MsgUnreachable", to: noNode, from: peer }));
  }

  /** What became of a MsgSnap: `ok` when it was delivered. Must be called for each, or the peer gets nothing more. */
  reportSnapshot(peer: NodeId, ok: boolean): void {
    step(this.#raft, newMessage({ type: "MsgSnapStatus", to: noNode, from: peer, reject: !ok }));
  }

  /** Whether `ready` would hold anything. */
  hasReady(): boolean {
    const raft = this.#raft;
    return (
      raft.messages.length > 0 ||
      raft.messagesAfterAppend.length > 0 ||
      raft.readStates.length > 0 ||
      raft.log.hasNextUnstable() ||
      raft.log.hasNextCommitted(!this.#asyncStorageWrites) ||
      raft.log.nextSnapshot() !== undefined ||
      this.#softStateChanged() ||
      this.#hardStateChanged()
    );
  }

  /** The work that has come up. It counts as handed out, and is not repeated. */
  ready(): Ready {
    assert(!this.#awaitsAdvance, "ready again before advance");
    const raft = this.#raft;
    const { log } = raft;
    const isAsync = this.#asyncStorageWrites;
    const softState = this.#softStateChanged() ? raft.softState() : undefined;
    const hardState = this.#hardStateChanged() ? raft.hardState() : undefined;
    const entries = log.nextUnstable();
    const snapshot = log.nextSnapshot();
    const committedEntries = log.nextCommitted(!isAsync);
    const hasAppend =
      entries.length > 0 ||
      hardState !== undefined ||
      snapshot !== undefined ||
      raft.messagesAfterAppend.length > 0;
    const round: Round = { hardState, entries, snapshot, committedEntries };

    let messagesAfterAppend = noMessages;
    let storageMessages = noMessages;
    if (isAsync) {
      const work: Message[] = [];
      if (hasAppend) work.push(storageAppend(raft, round));
      if (committedEntries.length > 0) work.push(storageApply(raft, committedEntries));
      storageMessages = work;
    } else {
      messagesAfterAppend = raft.messagesAfterAppend.filter((message) => message.to !== raft.id);
      this.#stepsOnAdvance = raft.messagesAfterAppend.filter((message) => message.to === raft.id);
      if (hasAppendResponse(raft, round)) this.#stepsOnAdvance.push(storageAppendResponse(raft, round));
      if (committedEntries.length > 0)
        this.#stepsOnAdvance.push(storageApplyResponse(raft, committedEntries));
      this.#awaitsAdvance = true;
    }
    const ready: Ready = {
      softState,
      hardState,
      readStates: raft.readStates.length > 0 ? raft.readStates : noReadStates,
      entries,
      snapshot,
      committedEntries,
      messages: raft.messages,
      messagesAfterAppend,
      storageMessages,
      mustSync: this.#mustSync(entries.length),
    };
    this.#accept(ready);
    return ready;
  }

  #accept(ready: Ready): void {
    const raft = this.#raft;
    if (ready.softState !== undefined) this.#softState = ready.softState;
    if (ready.hardState !== undefined) this.#hardState = ready.hardState;
    raft.readStates = [];
    raft.messages = [];
    raft.messagesAfterAppend = [];
    raft.log.acceptUnstable();
    const last = ready.committedEntries.at(-1);
    if (last === undefined) return;
    raft.log.acceptApplying(last.index, encodedBytesOf(ready.committedEntries), !this.#asyncStorageWrites);
  }

  /** Without async storage writes: the round that `ready` handed out is written and applied. */
  advance(): void {
    assert(!this.#asyncStorageWrites, "advance is not used with async storage writes");
    const steps = this.#stepsOnAdvance;
    this.#stepsOnAdvance = [];
    this.#awaitsAdvance = false;
    for (const message of steps) step(this.#raft, message);
  }

  /** Of the log, whether it is on disk yet or not. */
  lastIndex(): number {
    return this.#raft.log.lastIndex();
  }

  basicStatus(): BasicStatus {
    const raft = this.#raft;
    return {
      id: raft.id,
      hardState: raft.hardState(),
      lead: raft.lead,
      state: raft.state,
      applied: raft.log.applied,
      leadTransferee: raft.leadTransferee,
    };
  }

  status(): Status {
    const { tracker, state } = this.#raft;
    return {
      ...this.basicStatus(),
      config: tracker.config,
      progress: state === "StateLeader" ? tracker.members.map((member) => member.status()) : [],
    };
  }

  /** Replaces the random election timeout of the current term, for tests that need a certain one. */
  setRandomizedElectionTicks(ticks: number): void {
    this.#raft.randomizedElectionTicks = ticks;
  }

  #softStateChanged(): boolean {
    return this.#raft.lead !== this.#softState.lead || this.#raft.state !== this.#softState.state;
  }

  #hardStateChanged(): boolean {
    const { term, vote, log } = this.#raft;
    const told = this.#hardState;
    return term !== told.term || vote !== told.vote || log.committed !== told.commit;
  }

  /** A commit index alone may be lost: it is found again from the entries and the others. */
  #mustSync(entryCount: number): boolean {
    const { term, vote } = this.#raft;
    return entryCount > 0 || vote !== this.#hardState.vote || term !== this.#hardState.term;
  }
}

type Round = Pick<Ready, "hardState" | "entries" | "snapshot" | "committedEntries">;

function storageAppend(raft: Raft, round: Round): Message {
  const { hardState, entries, snapshot } = round;
  const responses = raft.messagesAfterAppend;
  return newMessage({
    type: "MsgStorageAppend",
    to: appendThread,
    from: raft.id,
    term: hardState?.term ?? 0,
    vote: hardState?.vote ?? noNode,
    commit: hardState?.commit ?? 0,
    entries,
    snapshot,
    responses: hasAppendResponse(raft, round)
      ? [...responses, storageAppendResponse(raft, round)]
      : responses,
  });
}

/**
 * Asked for with every append while there are unstable entries, not only with those that carry some: an answer of an
 * older term is ignored, so after a change of term the next one has to acknowledge those entries again.
 */
function hasAppendResponse(raft: Raft, round: Round): boolean {
  return raft.log.hasUnstable() || round.snapshot !== undefined;
}

/**
 * "Everything up to this entry is on disk", with the term of the log it speaks of. Entry (index, logTerm) may have
 * been overwritten and appended again by then; in the same term that cannot happen.
 */
function storageAppendResponse(raft: Raft, round: Round): Message {
  const hasEntries = raft.log.hasUnstable();
  return newMessage({
    type: "MsgStorageAppendResp",
    to: raft.id,
    from: appendThread,
    term: raft.term,
    index: hasEntries ? raft.log.lastIndex() : 0,
    logTerm: hasEntries ? raft.log.lastTerm() : 0,
    snapshot: round.snapshot,
  });
}

function storageApply(raft: Raft, entries: readonly Entry[]): Message {
  const responses = [storageApplyResponse(raft, entries)];
  return newMessage({ type: "MsgStorageApply", to: applyThread, from: raft.id, entries, responses });
}

/** Without a term: what is committed is applied in whichever. */
function storageApplyResponse(raft: Raft, entries: readonly Entry[]): Message {
  return newMessage({
    type: "MsgStorageApplyResp",
    to: raft.id,
    from: applyThread,
    context: emptyBytes,
    entries,
  });
}
