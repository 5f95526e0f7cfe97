// What a cluster did, as seen from outside all of its members, and the rules it is held to: one function a rule, and a
// failure carries the rule's name.

import { createHash } from "node:crypto";
import { textOf } from "../../../node/lib/bytes.ts";
import { hexId, type LeaseId, type NodeId } from "../../../node/lib/ids.ts";
import type { RevisionEvents } from "../../../node/mvcc/watch-event.ts";
import { KeyValueScan } from "../../../node/wire/hot-kv.ts";
import type { Entry } from "../../../node/wire/raft.ts";
import { type RuleBook, RuleBroken } from "./rules.ts";

interface Version {
  readonly revision: number;
  /** Undefined: deleted. */
  readonly value: string | undefined;
}

export class History {
  readonly rules: RuleBook;
  readonly #leaders = new Map<number, NodeId>();
  /** By member and term. */
  readonly #votes = new Map<string, NodeId>();
  readonly #entries = new Map<string, string>();
  readonly #applied = new Map<number, string>();
  readonly #revisions = new Map<number, string>();
  readonly #versions = new Map<string, Version[]>();
  #newestTerm = 0;
  /** Highest index of an entry whose write was acknowledged while this term was the newest that had a leader. */
  readonly #acknowledged = new Map<number, number>();
  /** Lowest revision that a linearizable operation that begins now may see. */
  #floor = 1;
  #newest = 1;
  /** Revisions that deleted something, in the order in which they were seen. */
  readonly #deletions: number[] = [];

  constructor(rules: RuleBook) {
    this.rules = rules;
  }

  /** The highest revision that any member has applied. */
  get newest(): number {
    return this.#newest;
  }

  get floor(): number {
    return this.#floor;
  }

  /** At most one leader a term. */
  electionSafety(id: NodeId, term: number): boolean {
    this.rules.ask("electionSafety");
    const known = this.#leaders.get(term);
    if (known === undefined) {
      this.#leaders.set(term, id);
      this.#newestTerm = Math.max(this.#newestTerm, term);
    } else if (known !== id) {
      throw new RuleBroken("electionSafety", `term ${term} is led by ${hexId(known)} and by ${hexId(id)}`);
    }
    return known === undefined;
  }

  /** A vote has left a member: for the only one that it votes for in this term, whatever happens to it in between. */
  oneVoteATerm(id: NodeId, term: number, candidate: NodeId): void {
    this.rules.ask("oneVoteATerm");
    const vote = `${id}/${term}`;
    const known = this.#votes.get(vote);
    if (known === undefined) this.#votes.set(vote, candidate);
    else if (known !== candidate) {
      throw new RuleBroken(
        "oneVoteATerm",
        `${hexId(id)} votes in term ${term} for ${hexId(known)} and for ${hexId(candidate)}`,
      );
    }
  }

  /** Entries of one index and term are the same in every log. */
  logMatching(id: NodeId, { index, term, type, data }: Entry): void {
    this.rules.ask("logMatching");
    const place = `${index}/${term}`;
    const digest = `${type} ${createHash("sha1").update(data).digest("base64")}`;
    const known = this.#entries.get(place);
    if (known === undefined) this.#entries.set(place, digest);
    else if (known !== digest) {
      throw new RuleBroken("logMatching", `${hexId(id)} has another entry ${place} than others`);
    }
  }

  /** A leader begins a change of the membership when it has applied the one before. */
  oneChangeAtATime(id: NodeId, before: number | undefined, appliedIndex: number): void {
    this.rules.ask("oneChangeAtATime");
    if (before === undefined || before <= appliedIndex) return;
    throw new RuleBroken(
      "oneChangeAtATime",
      `${hexId(id)} leads into another change while that of entry ${before} is not applied, but ${appliedIndex}`,
    );
  }

  /**
   * A new leader's log holds everything that was acknowledged before its term. One that is elected by votes that came
   * late need not hold what later terms have acknowledged.
   */
  leaderCompleteness(id: NodeId, term: number, lastIndex: number): void {
    this.rules.ask("leaderCompleteness");
    for (const [newestTerm, index] of this.#acknowledged) {
      if (newestTerm >= term || index <= lastIndex) continue;
      throw new RuleBroken(
        "leaderCompleteness",
        `${hexId(id)} leads term ${term} with entries up to ${lastIndex}, ` +
          `${index} was acknowledged when nobody had led a term after ${newestTerm}`,
      );
    }
  }

  /** Every member applies the same at an index, with the same effect. */
  stateMachineSafety(id: NodeId, index: number, requestId: string, effect: string): void {
    this.rules.ask("stateMachineSafety");
    const text = `${requestId} ${effect}`;
    const known = this.#applied.get(index);
    if (known === undefined) this.#applied.set(index, text);
    else if (known !== text) {
      throw new RuleBroken(
        "stateMachineSafety",
        `entry ${index} did "${text}" on ${hexId(id)}, "${known}" elsewhere`,
      );
    }
  }

  /** What a revision changed, as the hub of a member is told. */
  revision(id: NodeId, { revision, events }: RevisionEvents): void {
    this.rules.ask("stateMachineSafety");
    const changes = events.map(({ type, key, kv }) => {
      const scan = new KeyValueScan(kv);
      const value = type === "put" ? textOf(scan.value) : undefined;
      return { key: textOf(key), value, version: scan.version, create: scan.createRevision };
    });
    const text = JSON.stringify(changes);
    const known = this.#revisions.get(revision);
    if (known !== undefined) {
      if (known === text) return;
      throw new RuleBroken(
        "stateMachineSafety",
        `revision ${revision} is ${text} on ${hexId(id)}, ${known} elsewhere`,
      );
    }
    this.#revisions.set(revision, text);
    this.#newest = Math.max(this.#newest, revision);
    if (changes.some(({ value }) => value === undefined)) this.#deletions.push(revision);
    for (const { key, value } of changes) {
      const versions = this.#versions.get(key);
      if (versions === undefined) this.#versions.set(key, [{ revision, value }]);
      else versions.push({ revision, value });
    }
  }

  /** A write was acknowledged with this revision; it began when the floor was `floor`. */
  acknowledgedWrite(write: {
    readonly key: string;
    readonly value: string | undefined;
    readonly revision: number;
    readonly floor: number;
    readonly index: number;
  }): void {
    this.rules.ask("acknowledgedWrites");
    const { key, value, revision, floor, index } = write;
    const found = this.#versions.get(key)?.find((version) => version.revision === revision);
    if (found === undefined || found.value !== value) {
      throw new RuleBroken("acknowledgedWrites", `revision ${revision} did not set ${key} to ${value}`);
    }
    if (revision <= floor) {
      throw new RuleBroken(
        "linearizability",
        `a write got revision ${revision}, ${floor} was seen before it began`,
      );
    }
    const newestTerm = this.#newestTerm;
    this.#acknowledged.set(newestTerm, Math.max(this.#acknowledged.get(newestTerm) ?? 0, index));
    this.#floor = Math.max(this.#floor, revision);
  }

  /** A linearizable read was answered. */
  linearizableRead(read: {
    readonly key: string;
    readonly value: string | undefined;
    readonly revision: number;
    readonly floor: number;
  }): void {
    this.rules.ask("linearizability");
    const { key, value, revision, floor } = read;
    if (revision < floor) {
      throw new RuleBroken(
        "linearizability",
        `a read saw revision ${revision}, ${floor} was seen before it began`,
      );
    }
    const expected = this.valueAt(key, revision);
    if (expected !== value) {
      throw new RuleBroken("linearizability", `${key} at ${revision} is ${expected}, a read saw ${value}`);
    }
    this.#floor = Math.max(this.#floor, revision);
  }

  /** The newest revision up to `revision` that deleted something. */
  newestDeletion(revision: number): number | undefined {
    return this.#deletions.findLast((deletion) => deletion <= revision);
  }

  valueAt(key: string, revision: number): string | undefined {
    let value: string | undefined;
    for (const version of this.#versions.get(key) ?? [])
      if (version.revision <= revision) value = version.value;
    return value;
  }

  /** A watch from `from` on saw, in this order, what happened: nothing out of order, twice or left out. */
  watch(where: string, revision: number, expectedNext: number, keys: readonly string[]): void {
    this.rules.ask("watch");
    if (revision < expectedNext) {
      throw new RuleBroken(
        "watch",
        `${where} saw revision ${revision} again or late, ${expectedNext} was next`,
      );
    }
    for (let missed = expectedNext; missed < revision; missed++) {
      const text = this.#revisions.get(missed);
      if (text !== undefined) throw new RuleBroken("watch", `${where} missed revision ${missed}: ${text}`);
    }
    const text = this.#revisions.get(revision);
    const known = text === undefined ? [] : (JSON.parse(text) as readonly { readonly key: string }[]);
    if (known.map(({ key }) => key).join() !== keys.join()) {
      throw new RuleBroken(
        "watch",
        `${where} saw ${keys.join()} at revision ${revision}, it changed ${text}`,
      );
    }
  }

  /** A snapshot holds every key as it was at its revision, and nothing newer. */
  snapshot(
    where: string,
    snapshot: {
      readonly revision: number;
      readonly newestRevision: number;
      readonly values: ReadonlyMap<string, string | undefined>;
    },
  ): void {
    this.rules.ask("snapshots");
    const { revision, newestRevision, values } = snapshot;
    if (newestRevision > revision) {
      throw new RuleBroken("snapshots", `one of ${where} at ${revision} holds revision ${newestRevision}`);
    }
    for (const key of new Set([...this.#versions.keys(), ...values.keys()])) {
      const expected = this.valueAt(key, revision);
      const found = values.get(key);
      if (found !== expected) {
        throw new RuleBroken(
          "snapshots",
          `one of ${where} at ${revision} holds ${key}=${found}, it is ${expected}`,
        );
      }
    }
  }

  /** A revocation was acknowledged at this revision: what was put with the lease is gone. */
  revokedLease(id: LeaseId, key: string, revision: number): void {
    this.rules.ask("acknowledgedWrites");
    const value = this.valueAt(key, revision);
    if (value === undefined) return;
    throw new RuleBroken(
      "acknowledgedWrites",
      `lease ${id} was revoked, ${key} is ${value} at revision ${revision}`,
    );
  }

  /** A lease that nobody revoked is gone no earlier than its time after it was last renewed. */
  leaseExpiry(id: LeaseId, elapsedMs: number, ttlMs: number): void {
    this.rules.ask("leaseExpiry");
    if (elapsedMs >= ttlMs) return;
    throw new RuleBroken(
      "leaseExpiry",
      `lease ${id} of ${ttlMs} ms was revoked ${elapsedMs} ms after a renewal`,
    );
  }

  /** Once the faults have ended, the cluster goes on. */
  liveness(isTrue: boolean, text: () => string): void {
    this.rules.ask("liveness");
    if (!isTrue) throw new RuleBroken("liveness", text());
  }
}
