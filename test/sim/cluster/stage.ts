// A cluster for directed scenarios: nothing goes wrong but what the scenario does. Every message, log entry and applied
// entry is held to the same rules as in the random runs.

import { assert } from "../../../node/lib/assert.ts";
import { textOf, utf8 } from "../../../node/lib/bytes.ts";
import type { FatalError } from "../../../node/lib/fatal.ts";
import { type NodeId, nodeId, noLease } from "../../../node/lib/ids.ts";
import { SeededRandom } from "../../../node/lib/random.ts";
import type { MembershipChange } from "../../../node/membership/change.ts";
import type { ReadOutcome } from "../../../node/replica/read-barrier.ts";
import type { Replica } from "../../../node/replica/replica.ts";
import { codecs } from "../../../node/wire/codecs.ts";
import { KeyValueScan } from "../../../node/wire/hot-kv.ts";
import type { Entry, Message } from "../../../node/wire/raft.ts";
import { Scheduler } from "../scheduler.ts";
import { Agreement } from "./agreement.ts";
import { firstEntries } from "./cluster.ts";
import { History } from "./history.ts";
import { VirtualNetwork } from "./network.ts";
import { RuleBook } from "./rules.ts";
import { type MemberSettings, SimMember } from "./sim-member.ts";

const settings: MemberSettings = {
  snapshotCount: 10_000,
  snapshotCatchupEntries: 5_000,
  segmentBytes: 65_536,
  flushIntervalMs: 100,
  electionTicks: 10,
  preVote: true,
  hasLeaseCheckpoints: false,
  logStepMsMax: 2,
  flushMsMax: 5,
};

export interface StageOptions {
  readonly voters: number;
  readonly settings?: Partial<MemberSettings>;
  /** Percent of messages that arrive twice. */
  readonly duplicate?: number;
  /** What becomes of a message on its way: true lets it pass. */
  readonly passes?: (message: Message) => boolean;
}

export class Stage {
  readonly rules = new RuleBook();
  readonly history = new History(this.rules);
  readonly agreement = new Agreement(this.rules);
  readonly network: VirtualNetwork;
  /** Everything that was sent, and arrived or not. */
  readonly sent: Message[] = [];
  readonly fatal: { readonly id: NodeId; readonly error: FatalError }[] = [];
  readonly #scheduler = new Scheduler();
  readonly #random = new SeededRandom(1);
  readonly #options: StageOptions;
  readonly #members = new Map<NodeId, SimMember>();
  readonly #memberOfLife = new Map<number, SimMember>();

  constructor(options: StageOptions) {
    this.#options = options;
    this.network = new VirtualNetwork({
      scheduler: this.#scheduler,
      random: this.#random,
      settings: { drop: 0, duplicate: options.duplicate ?? 0, delayMsMax: 2, clog: 0, replay: 0 },
      deliver: (message, store) => this.#members.get(message.to)?.receive(message, store),
      onUnreachable: (from, to) => this.#members.get(from)?.replica?.reportUnreachable(to),
    });
    const ids = Array.from({ length: options.voters }, (_, i) => nodeId(BigInt(i + 1)));
    for (const id of ids) this.add(id, firstEntries(ids)).start();
  }

  get nowMs(): number {
    return this.#scheduler.nowMs;
  }

  add(id: NodeId, bootstrap: readonly Entry[] = []): SimMember {
    const member = new SimMember(id, {
      scheduler: this.#scheduler,
      random: this.#random,
      settings: { ...settings, ...this.#options.settings },
      clusterId: 7n,
      bootstrap,
      defect: undefined,
      send: (message, store) => {
        this.sent.push(message);
        if (this.#options.passes?.(message) === false) return;
        this.network.send(message, store);
        const { replica } = this.member(message.from);
        if (store !== undefined) this.after(600, () => replica?.reportSnapshot(message.to, true));
      },
      onAppend: (one, entry) => this.history.logMatching(one.id, entry),
      onReplica: (one) => this.#memberOfLife.set(one.life, one),
      onRemoved: (one) => {
        one.isRemoved = true;
        one.crash(false);
      },
      onFatal: (one, error) => this.fatal.push({ id: one.id, error }),
    });
    this.#members.set(id, member);
    return member;
  }

  member(id: NodeId): SimMember {
    const member = this.#members.get(id);
    assert(member !== undefined, "there is such a member", { id });
    return member;
  }

  replica(id: NodeId): Replica {
    const { replica } = this.member(id);
    assert(replica !== undefined, "the member is up", { id });
    return replica;
  }

  get running(): Replica[] {
    return [...this.#members.values()].map(({ replica }) => replica).filter((one) => one !== undefined);
  }

  after(delayMs: number, run: () => void): void {
    this.#scheduler.at(delayMs, { life: 0, kind: "stage", run });
  }

  /** The members on one side, and the others, hear each other no more. */
  isolate(id: NodeId): void {
    this.network.partition(
      [id],
      [...this.#members.keys()].filter((other) => other !== id),
    );
  }

  pause(id: NodeId, ms: number): void {
    this.member(id).pausedUntilUs = this.#scheduler.nowUs + ms * 1000;
  }

  runFor(ms: number): void {
    const untilMs = this.nowMs + ms;
    this.after(ms, () => {});
    while (this.nowMs < untilMs) this.#step();
  }

  /** Runs until it is so; fails when it is not so in a minute of virtual time. */
  runUntil(isSo: () => boolean, what: string): void {
    const untilMs = this.nowMs + 60_000;
    while (!isSo()) {
      assert(this.nowMs < untilMs, "it comes to pass in time", { what });
      this.#step();
    }
  }

  /** The leader that a majority follows. */
  awaitLeader(): Replica {
    const found = (): Replica | undefined =>
      this.running.find(
        (one) =>
          one.isLeader &&
          2 * this.running.filter(({ leader }) => leader === one.nodeId).length > one.members.list().length,
      );
    this.runUntil(() => found() !== undefined, "a leader");
    return found() as Replica;
  }

  put(
    id: NodeId,
    key: string,
    value: string,
    lease = noLease,
  ): { revision: number | undefined; isOver: boolean } {
    const answer: { revision: number | undefined; isOver: boolean } = { revision: undefined, isOver: false };
    const put = codecs.PutRequest.create({ key: utf8(key), value: utf8(value), lease });
    this.replica(id).propose({ put }, (outcome) => {
      answer.isOver = true;
      if (outcome.ok) answer.revision = outcome.revision;
    });
    return answer;
  }

  /** A put that is acknowledged. */
  write(id: NodeId, key: string, value: string, lease = noLease): number {
    const answer = this.put(id, key, value, lease);
    this.runUntil(() => answer.isOver, `an answer to ${key}=${value}`);
    assert(answer.revision !== undefined, "the write was acknowledged", { key, value });
    return answer.revision;
  }

  /** A linearizable read: what came of it, and the value seen if it was served. */
  read(id: NodeId, key: string): { outcome: ReadOutcome | undefined; value: string | undefined } {
    const answer: { outcome: ReadOutcome | undefined; value: string | undefined } = {
      outcome: undefined,
      value: undefined,
    };
    const replica = this.replica(id);
    replica.readBarrier((outcome) => {
      answer.outcome = outcome;
      if (outcome.ok) answer.value = valueIn(replica, key);
    });
    return answer;
  }

  /** Reads again when it is told that the leader has changed. */
  readServed(id: NodeId, key: string): string | undefined {
    for (let left = 20; left > 0; left--) {
      const read = this.read(id, key);
      this.runUntil(() => read.outcome !== undefined, "an answer to a read");
      if (read.outcome?.ok === true) return read.value;
      this.runFor(100);
    }
    throw new Error(`no read of ${key} is served`);
  }

  change(leader: Replica, change: MembershipChange): void {
    let isMade = false;
    leader.proposeChange(change, (outcome) => {
      assert(outcome.ok, "the change is made", { change: change.kind });
      isMade = true;
    });
    this.runUntil(() => isMade, `the change ${change.kind}`);
  }

  /** Everybody has applied the same, and holds the same. */
  awaitAgreement(): void {
    this.runUntil(
      () => new Set(this.running.map(({ appliedIndex }) => appliedIndex)).size === 1,
      "agreement",
    );
    this.agreement.equalHashes(this.running);
    for (const replica of this.running) this.agreement.membershipAgreement(replica);
  }

  #step(): void {
    const event = this.#scheduler.next();
    assert(event !== undefined, "there is always something to come");
    const member = this.#memberOfLife.get(event.life);
    if (member !== undefined && member.pausedUntilUs > event.timeUs) {
      const { life, kind, run } = event;
      this.#scheduler.at((member.pausedUntilUs - this.#scheduler.nowUs) / 1000, { life, kind, run });
      return;
    }
    event.run();
    const replica = member?.replica;
    if (replica?.isLeader === true) this.history.electionSafety(replica.nodeId, replica.term);
  }
}

export function valueIn(replica: Replica, key: string): string | undefined {
  const answer = replica.store.range(codecs.RangeRequest.create({ key: utf8(key) }));
  assert(answer.ok, "the current revision can be read");
  const [kv] = answer.kvs;
  return kv === undefined ? undefined : textOf(new KeyValueScan(kv).value);
}
