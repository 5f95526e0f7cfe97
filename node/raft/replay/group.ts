// A group of members for interaction transcripts: their disks, the messages between them, and storage threads that
// work when they are told to.

import { must } from "../../lib/assert.ts";
import { concatBytes } from "../../lib/bytes.ts";
import { type NodeId, nodeId } from "../../lib/ids.ts";
import { SeededRandom } from "../../lib/random.ts";
import type { ConfState, Entry, HardState, Message, MessageType, Snapshot } from "../../wire/raft.ts";
import { confChangeOf, isConfChange } from "../conf-change.ts";
import type { RaftConfig } from "../config.ts";
import { describeEntries, describeMessage, describeReady } from "../describe.ts";
import { noLimit } from "../entry-size.ts";
import { MemoryStorage } from "../memory-storage.ts";
import { isStorageThread, newMessage, noMessages } from "../message.ts";
import { RawNode } from "../raw-node.ts";
import { type StepOutcome, stepOutcomeTexts } from "../step-outcome.ts";
import type { Storage } from "../storage.ts";
import { Output } from "./output.ts";
import { TranscriptError } from "./transcript.ts";

/** Far more rounds than any group needs to come to rest, and few enough to fail soon when it never does. */
const roundsMax = 1_000;

export type GroupOptions = Partial<Omit<RaftConfig, "id" | "storage" | "random" | "logger" | "applied">>;

export interface Member {
  readonly id: NodeId;
  readonly node: RawNode;
  readonly storage: MemoryStorage;
  readonly isAsync: boolean;
  /** Work of the two storage threads, oldest first. */
  readonly appendWork: Message[];
  readonly applyWork: Message[];
  /** The state machine after every entry: data is all payloads so far. Never empty. */
  readonly history: Snapshot[];
}

export class Group {
  readonly output = new Output();
  readonly members: Member[] = [];
  readonly electionTicks = 3;
  readonly heartbeatTicks = 1;
  /** Messages on their way, oldest first. */
  #messages: Message[] = [];

  /** Adds members, numbered on from the last one, that start from a snapshot (or empty, at index 0). */
  add(count: number, options: GroupOptions, snapshot: Snapshot): void {
    for (let i = 0; i < count; i++) {
      const id = nodeId(this.members.length + 1);
      const history = [snapshot];
      const storage = new MemoryStorage();
      if (snapshot.metadata.index > 0) storage.applySnapshot(snapshot);
      const node = new RawNode({
        electionTicks: this.electionTicks,
        heartbeatTicks: this.heartbeatTicks,
        messageBytesMax: noLimit,
        inflightMessagesMax: 0x7fff_ffff,
        ...options,
        id,
        storage: withHistory(storage, history),
        random: new SeededRandom(Number(id)),
        logger: this.output,
        applied: snapshot.metadata.index,
      });
      const isAsync = options.asyncStorageWrites ?? false;
      this.members.push({ id, node, storage, isAsync, appendWork: [], applyWork: [], history });
    }
  }

  member(id: number): Member {
    const member = this.members[id - 1];
    if (member === undefined) throw new TranscriptError(`there is no member ${id}`);
    return member;
  }

  complaintOf(outcome: StepOutcome): string | undefined {
    return outcome === "accepted" ? undefined : stepOutcomeTexts[outcome];
  }

  tick(id: number, ticks: number): void {
    for (let i = 0; i < ticks; i++) this.member(id).node.tick();
  }

  /** Runs with a headline for one of several members, its output indented. */
  announce<T>(id: number, what: string, run: () => T): T {
    this.output.write(`> ${id} ${what}\n`);
    return this.output.indented(run);
  }

  compact(id: number, index: number): string | undefined {
    if (this.member(id).storage.compact(index) === "compacted") {
      return "requested index is unavailable due to compaction";
    }
    this.printLog(id);
    return undefined;
  }

  printLog(id: number): void {
    const { storage } = this.member(id);
    const first = storage.firstIndex();
    const last = storage.lastIndex();
    if (last < first) {
      this.output.write(`log is empty: first index=${first}, last index=${last}`);
      return;
    }
    this.output.write(
      describeEntries(must(storage.entries(first, last + 1, noLimit), "entries from the first on")),
    );
  }

  processReady(id: number): string | undefined {
    const member = this.member(id);
    const { node, isAsync } = member;
    const ready = node.ready();
    this.output.write(describeReady(ready));
    if (!isAsync) {
      const complaint = write(member, ready);
      if (complaint !== undefined) return complaint;
      apply(member, ready.committedEntries);
    }
    this.#messages.push(...ready.messages, ...ready.messagesAfterAppend);
    for (const work of ready.storageMessages) {
      (work.type === "MsgStorageAppend" ? member.appendWork : member.applyWork).push(work);
    }
    if (!isAsync) node.advance();
    return undefined;
  }

  processAppendThread(id: number): string | undefined {
    const member = this.member(id);
    const work = this.#begin(member.appendWork, "no append work to perform");
    if (work === undefined) return undefined;
    const { term, vote, commit, entries, snapshot } = work;
    const complaint = write(member, { hardState: { term, vote, commit }, entries, snapshot });
    if (complaint !== undefined) return complaint;
    this.#respond(work);
    return undefined;
  }

  processApplyThread(id: number): undefined {
    const member = this.member(id);
    const work = this.#begin(member.applyWork, "no apply work to perform");
    if (work === undefined) return;
    apply(member, work.entries);
    this.#respond(work);
  }

  #begin(queue: Message[], nothing: string): Message | undefined {
    const work = queue.shift();
    if (work === undefined) this.output.write(nothing);
    else this.output.write(`Processing:\n${describeMessage({ ...work, responses: noMessages })}\n`);
    return work;
  }

  #respond(work: Message): void {
    this.output.write("Responses:\n");
    for (const response of work.responses) this.output.write(`${describeMessage(response)}\n`);
    this.#messages.push(...work.responses);
  }

  sendSnapshot(from: number, to: number): void {
    const sender = this.member(from);
    const message = newMessage({
      type: "MsgSnap",
      term: sender.node.basicStatus().hardState.term,
      from: sender.id,
      to: this.member(to).id,
      snapshot: sender.history.at(-1),
    });
    this.#messages.push(message);
    this.output.write(describeMessage(message));
  }

  /** Steps every message to a member, of one type if given. Returns how many there were. */
  deliver(id: number, type?: MessageType): number {
    const messages = this.#take(id, (message) => type === undefined || message.type === type);
    for (const message of messages) {
      this.output.write(`${describeMessage(message)}\n`);
      const complaint = this.complaintOf(this.member(id).node.step(message));
      if (complaint !== undefined) this.output.write(`${complaint}\n`);
    }
    return messages.length;
  }

  /** Loses messages to a member; not those it sends itself or that its storage threads send, which cannot be lost. */
  drop(id: number, type?: MessageType): number {
    const messages = this.#take(
      id,
      (message) => !isLocal(message) && (type === undefined || message.type === type),
    );
    for (const message of messages) this.output.write(`dropped: ${describeMessage(message)}\n`);
    return messages.length;
  }

  #take(id: number, matches: (message: Message) => boolean): Message[] {
    const to = nodeId(id);
    const taken = this.#messages.filter((message) => message.to === to && matches(message));
    this.#messages = this.#messages.filter((message) => !(message.to === to && matches(message)));
    return taken;
  }

  /** Lets these members (all when none is named) work until nothing is left to do among them. */
  stabilize(ids: readonly number[]): string | undefined {
    const members = ids.length === 0 ? this.members.map((_, at) => at + 1) : ids;
    let isDone = false;
    for (let round = 0; !isDone; round++) {
      if (round === roundsMax) throw new TranscriptError("the members never come to rest");
      isDone = true;
      for (const id of members) {
        if (!this.member(id).node.hasReady()) continue;
        isDone = false;
        const complaint = this.announce(id, "handling Ready", () => this.processReady(id));
        if (complaint !== undefined) return complaint;
      }
      for (const id of members) {
        const to = nodeId(id);
        if (!this.#messages.some((message) => message.to === to)) continue;
        isDone = false;
        this.announce(id, "receiving messages", () => this.deliver(id));
      }
      for (const id of members) {
        const complaint = this.#drain(id, this.member(id).appendWork, "processing append thread", () =>
          this.processAppendThread(id),
        );
        if (complaint === undefined) continue;
        if (typeof complaint === "string") return complaint;
        isDone = false;
      }
      for (const id of members) {
        const complaint = this.#drain(id, this.member(id).applyWork, "processing apply thread", () =>
          this.processApplyThread(id),
        );
        if (complaint !== undefined) isDone = false;
      }
    }
    return undefined;
  }

  /** Empties a work queue. Undefined when it was empty, true when all was done, else the complaint. */
  #drain(
    id: number,
    queue: readonly Message[],
    what: string,
    act: () => string | undefined,
  ): string | true | undefined {
    if (queue.length === 0) return undefined;
    this.output.write(`> ${id} ${what}\n`);
    while (queue.length > 0) {
      const complaint = this.output.indented(act);
      if (complaint !== undefined) return complaint;
    }
    return true;
  }
}

/** The disk as Raft reads it, but whose snapshot is the state machine's latest state, wherever the log begins. */
function withHistory(storage: MemoryStorage, history: readonly Snapshot[]): Storage {
  return {
    initialState: () => storage.initialState(),
    firstIndex: () => storage.firstIndex(),
    lastIndex: () => storage.lastIndex(),
    term: (index) => storage.term(index),
    entries: (start, end, bytesMax) => storage.entries(start, end, bytesMax),
    snapshot: () => history.at(-1),
  };
}

function isLocal(message: Message): boolean {
  return message.from === message.to || isStorageThread(message.from) || isStorageThread(message.to);
}

function write(
  member: Member,
  round: {
    readonly hardState: HardState | undefined;
    readonly entries: readonly Entry[];
    readonly snapshot: Snapshot | undefined;
  },
): string | undefined {
  const { hardState, entries, snapshot } = round;
  const { storage } = member;
  if (hardState !== undefined && (hardState.term > 0 || hardState.commit > 0))
    storage.setHardState(hardState);
  if (snapshot === undefined) {
    storage.append(entries);
    return undefined;
  }
  if (entries.length > 0) return "can't apply snapshot and entries at the same time";
  return storage.applySnapshot(snapshot) === "outOfDate"
    ? "requested index is older than the existing snapshot"
    : undefined;
}

function apply(member: Member, entries: readonly Entry[]): void {
  for (const entry of entries) {
    const last = must(member.history.at(-1), "a history is never empty");
    let update = entry.data;
    let confState: ConfState = last.metadata.confState;
    if (isConfChange(entry.type)) {
      const change = must(confChangeOf(entry), "a committed conf change is well formed");
      update = change.context;
      confState = member.node.applyConfChange(change);
    }
    member.history.push({
      data: concatBytes([last.data, update]),
      metadata: { confState, index: entry.index, term: entry.term },
    });
  }
}
