// The members of the cluster and its version. Purpose: one place, the store, holds the membership; what is kept
// in memory here is a copy of it. It must not know Raft, sockets or time. Tested by tables beside this file.

import { assert } from "../lib/assert.ts";
import type { Backend } from "../lib/backend.ts";
import { textOf, utf8 } from "../lib/bytes.ts";
import { hexId, type NodeId, nodeId } from "../lib/ids.ts";
import type { Downgrade } from "./cluster-version.ts";
import { decodeDowngrade, encodeDowngrade } from "./downgrade-record.ts";
import { decodeMember, encodeMember, type Member, type MemberAttributes } from "./member.ts";

const clusterVersionKey = utf8("clusterVersion");
const downgradeKey = utf8("downgrade");
const removedValue = utf8("removed");
const lowest: Uint8Array = new Uint8Array(0);

export class Members {
  readonly #backend: Backend;
  readonly #members = new Map<NodeId, Member>();
  readonly #removed = new Set<NodeId>();
  #clusterVersion: string | undefined;
  #downgrade: Downgrade = { isEnabled: false };

  /** Loads what the store holds; an empty store has no members. */
  constructor(backend: Backend) {
    this.#backend = backend;
    this.restored();
  }

  /** The store was replaced: forgets what was known of the one before. */
  restored(): void {
    const backend = this.#backend;
    this.#members.clear();
    this.#removed.clear();
    for (const [key, value] of records(backend, "members")) {
      const { isPromote: _, ...member } = decodeMember(value);
      assert(hexId(member.id) === key, "a stored member stands under its own id", { key, id: member.id });
      this.#members.set(member.id, member);
    }
    for (const [key] of records(backend, "members_removed")) this.#removed.add(nodeId(BigInt(`0x${key}`)));
    const version = backend.get("cluster", clusterVersionKey);
    this.#clusterVersion = version === undefined ? undefined : textOf(version);
    const downgrade = backend.get("cluster", downgradeKey);
    this.#downgrade = downgrade === undefined ? { isEnabled: false } : decodeDowngrade(textOf(downgrade));
  }

  /** Sorted by id, as etcd lists them. */
  list(): readonly Member[] {
    return [...this.#members.values()].sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));
  }

  get(id: NodeId): Member | undefined {
    return this.#members.get(id);
  }

  isRemoved(id: NodeId): boolean {
    return this.#removed.has(id);
  }

  /** "3.6.0" once the leader decided it, undefined before. */
  get clusterVersion(): string | undefined {
    return this.#clusterVersion;
  }

  get downgrade(): Downgrade {
    return this.#downgrade;
  }

  add(member: Member): void {
    assert(!this.#removed.has(member.id), "a removed member never comes back under its id", {
      id: member.id,
    });
    this.#store(member);
  }

  /** A learner becomes a voter. Nothing happens for an id that is not a member. */
  promote(id: NodeId): void {
    const member = this.#members.get(id);
    if (member !== undefined) this.#store({ ...member, isLearner: false });
  }

  updatePeerUrls(id: NodeId, peerUrls: readonly string[]): void {
    const member = this.#members.get(id);
    if (member !== undefined) this.#store({ ...member, peerUrls });
  }

  /** A member published itself. One that was removed meanwhile stays removed. */
  updateAttributes(id: NodeId, attributes: MemberAttributes): void {
    const member = this.#members.get(id);
    if (member !== undefined) this.#store({ ...member, ...attributes });
  }

  remove(id: NodeId): void {
    const key = utf8(hexId(id));
    this.#members.delete(id);
    this.#removed.add(id);
    this.#backend.delete("members", key);
    this.#backend.put("members_removed", key, removedValue);
  }

  setClusterVersion(version: string): void {
    this.#clusterVersion = version;
    this.#backend.put("cluster", clusterVersionKey, utf8(version));
  }

  setDowngrade(downgrade: Downgrade): void {
    this.#downgrade = downgrade;
    this.#backend.put("cluster", downgradeKey, utf8(encodeDowngrade(downgrade)));
  }

  #store(member: Member): void {
    const plain: Member = {
      id: member.id,
      name: member.name,
      peerUrls: [...member.peerUrls],
      clientUrls: [...member.clientUrls],
      isLearner: member.isLearner,
    };
    this.#members.set(plain.id, plain);
    this.#backend.put("members", utf8(hexId(plain.id)), utf8(encodeMember(plain)));
  }
}

function* records(backend: Backend, bucket: "members" | "members_removed"): Generator<[string, string]> {
  const cursor = backend.cursor(bucket, { start: lowest });
  while (cursor.next()) yield [textOf(cursor.key), textOf(cursor.value)];
  cursor.close();
}
