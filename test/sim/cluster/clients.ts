// The clients of a run: each does one thing at a time, on whichever member, and goes on when it is answered, when its
// member is gone, or when it has waited for long. What they are answered is held against the history.

import { assert } from "../../../node/lib/assert.ts";
import { textOf, utf8 } from "../../../node/lib/bytes.ts";
import { type LeaseId, noLease } from "../../../node/lib/ids.ts";
import type { Random } from "../../../node/lib/random.ts";
import type { Replica } from "../../../node/replica/replica.ts";
import { codecs } from "../../../node/wire/codecs.ts";
import { KeyValueScan } from "../../../node/wire/hot-kv.ts";
import { CompareResult, CompareTarget } from "../../../node/wire/rpc.ts";
import { ClientSnapshots } from "./client-snapshots.ts";
import type { SimCluster } from "./cluster.ts";
import { LeaseClients } from "./lease-clients.ts";
import { Watching } from "./watching.ts";

const keysCount = 8;
const clientsCount = 6;
/** How long a client waits for an answer; nothing is known of what it asked for then. */
const patiencesMs = [250, 1_000, 9_000] as const;
const nobodyRunsMs = 500;
/** Between the end of a connection and the next request. */
const reconnectMsMax = 50;

export class Clients {
  readonly leases: LeaseClients;
  readonly #cluster: SimCluster;
  readonly #random: Random;
  readonly #watching: Watching;
  readonly #snapshots: ClientSnapshots;
  /** How those are told whose member is gone. */
  readonly #waiting = new Map<Replica, Set<() => void>>();
  #values = 0;

  constructor(cluster: SimCluster, random: Random) {
    this.#cluster = cluster;
    this.#random = random;
    this.#watching = new Watching(cluster.history, cluster.scheduler);
    this.#snapshots = new ClientSnapshots(cluster, random);
    this.leases = new LeaseClients(cluster, random);
  }

  start(): void {
    for (let i = 0; i < clientsCount; i++) this.#later();
  }

  /** The member's life ends: its connections break. What it sent before can still be read, unless it was damaged. */
  forget(replica: Replica, isReadable: boolean): void {
    this.#watching.forget(replica, isReadable);
    this.#snapshots.forget(replica);
    const waiting = this.#waiting.get(replica) ?? [];
    this.#waiting.delete(replica);
    for (const over of waiting) {
      this.#cluster.after(this.#random.below(reconnectMsMax), "reconnect", over);
    }
  }

  /** Reads everything that the member has for its watches. */
  drain(replica: Replica): void {
    this.#watching.drain(replica);
  }

  #later(): void {
    this.#cluster.after(1 + this.#random.below(120), "client", () => this.#act());
  }

  #act(): void {
    const replicas = this.#cluster.running();
    const replica = replicas[this.#random.below(Math.max(1, replicas.length))];
    if (replica === undefined) {
      this.#cluster.after(nobodyRunsMs, "patience", () => this.#later());
      return;
    }
    const waiting = this.#waiting.get(replica) ?? new Set();
    this.#waiting.set(replica, waiting);
    let isOver = false;
    const over = (): void => {
      if (!isOver) this.#later();
      isOver = true;
      waiting.delete(over);
    };
    waiting.add(over);
    const patienceMs = patiencesMs[this.#random.below(patiencesMs.length)] as number;
    this.#cluster.after(patienceMs, "patience", over);
    const choice = this.#random.below(100);
    const key = `k${this.#random.below(keysCount)}`;
    if (choice < 38) this.put(replica, key, noLease, over);
    else if (choice < 46) this.#delete(replica, key, over);
    else if (choice < 56) this.#swap(replica, key, over);
    else if (choice < 77) this.#read(replica, key, over);
    else if (choice < 81) this.#grant(replica, over);
    else if (choice < 86) this.leases.renew(over);
    else if (choice < 88) this.leases.revoke(replica, over);
    else if (choice < 91) this.#compact(replica, over);
    else if (choice < 92) this.#snapshots.take(replica, over);
    else if (choice < 93) this.#defragment(replica, over);
    else {
      this.#watching.act(replica, this.#random);
      over();
    }
  }

  /** A leader that does not know yet that another one leads: a read there, right after a write, must not miss the write. */
  #deposed(): Replica | undefined {
    const leaders = this.#cluster.running().filter(({ isLeader }) => isLeader);
    return leaders.length < 2 ? undefined : leaders.reduce((a, b) => (b.term < a.term ? b : a));
  }

  put(replica: Replica, key: string, lease: LeaseId, done: () => void): void {
    const value = `v${++this.#values}`;
    const { history } = this.#cluster;
    const { floor } = history;
    const put = codecs.PutRequest.create({ key: utf8(key), value: utf8(value), lease });
    replica.propose({ put }, (outcome) => {
      done();
      if (!outcome.ok) return;
      this.#cluster.note("writes");
      const { revision } = outcome;
      history.acknowledgedWrite({ key, value, revision, floor, index: replica.appliedIndex });
      const deposed = this.#deposed();
      if (deposed === undefined) return;
      this.#cluster.note("reads from a deposed leader");
      this.#read(deposed, key, () => {});
    });
  }

  #delete(replica: Replica, key: string, done: () => void): void {
    const { history } = this.#cluster;
    const { floor } = history;
    const deleteRange = codecs.DeleteRangeRequest.create({ key: utf8(key) });
    replica.propose({ deleteRange }, (outcome) => {
      done();
      if (!outcome.ok || outcome.applied.case !== "deleteRange") return;
      const { revision } = outcome;
      const seen = { key, value: undefined, revision, floor };
      if (outcome.applied.value.deleted === 0) history.linearizableRead(seen);
      else history.acknowledgedWrite({ ...seen, index: replica.appliedIndex });
    });
  }

  /** Writes two keys if one is as it was read a moment ago. */
  #swap(replica: Replica, key: string, done: () => void): void {
    const { history } = this.#cluster;
    const { floor } = history;
    const value = `v${++this.#values}`;
    const other = `${key} too`;
    const expected = history.valueAt(key, history.newest) ?? "none";
    const txn = codecs.TxnRequest.create({
      compare: [
        codecs.Compare.create({
          result: CompareResult.EQUAL,
          target: CompareTarget.VALUE,
          key: utf8(key),
          targetUnion: { case: "value", value: utf8(expected) },
        }),
      ],
      success: [key, other].map((one) => ({
        request: {
          case: "requestPut" as const,
          value: codecs.PutRequest.create({ key: utf8(one), value: utf8(value) }),
        },
      })),
      failure: [],
    });
    replica.propose({ txn }, (outcome) => {
      done();
      if (!outcome.ok || outcome.applied.case !== "txn" || !outcome.applied.value.succeeded) return;
      this.#cluster.note("swaps");
      const { revision } = outcome;
      for (const one of [key, other]) {
        history.acknowledgedWrite({ key: one, value, revision, floor, index: replica.appliedIndex });
      }
    });
  }

  /** Asks again at once when it is told that the leader has changed, as client libraries do. */
  #read(replica: Replica, key: string, done: () => void): void {
    const { history } = this.#cluster;
    const { floor } = history;
    replica.readBarrier((outcome) => {
      if (!outcome.ok && outcome.reason === "leaderChanged") {
        this.#read(replica, key, done);
        return;
      }
      done();
      if (!outcome.ok) return;
      const answer = replica.store.range(codecs.RangeRequest.create({ key: utf8(key) }));
      assert(answer.ok, "the current revision can be read");
      const [kv] = answer.kvs;
      const value = kv === undefined ? undefined : textOf(new KeyValueScan(kv).value);
      this.#cluster.note("reads");
      history.linearizableRead({ key, value, revision: answer.revision, floor });
    });
  }

  #grant(replica: Replica, done: () => void): void {
    if (this.leases.isAbandoned) {
      done();
      return;
    }
    this.leases.grant(replica, (id) => {
      if (id === undefined) done();
      else this.put(replica, this.leases.keyOf(id), id, done);
    });
  }

  /** At some revision of late, now and then at that of a deletion. */
  #compact(replica: Replica, done: () => void): void {
    const { currentRevision, compactRevision } = replica.store;
    const recent = Math.max(1, currentRevision - this.#random.below(20));
    const deletion = this.#cluster.history.newestDeletion(currentRevision);
    const isNew = deletion !== undefined && deletion > compactRevision;
    const revision = isNew && this.#random.below(2) === 0 ? deletion : recent;
    replica.propose({ compaction: { revision, physical: false } }, (outcome) => {
      done();
      if (outcome.ok) this.#cluster.note("compactions");
    });
  }

  #defragment(replica: Replica, done: () => void): void {
    replica.defragment((outcome) => {
      done();
      if (outcome.ok) this.#cluster.note("defragmentations");
    });
  }
}
