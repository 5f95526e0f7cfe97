// Applying: what a log entry does. Purpose: one synchronous function from a decoded request and the state machines
// to their next state and an outcome, the same on every member. It must not know who proposed the entry, what a
// client gets to see of the outcome, or any clock but the one leases are counted on. Tested by tables here and as
// part of every simulation.

import type { Lessor } from "../lease/lessor.ts";
import { never } from "../lib/assert.ts";
import type { Backend } from "../lib/backend.ts";
import { emptyBytes, textOf, utf8 } from "../lib/bytes.ts";
import { type LeaseId, leaseId, noLease } from "../lib/ids.ts";
import type { Metrics } from "../lib/metrics.ts";
import {
  type ClusterVersion,
  compareVersions,
  formatVersion,
  lowestClusterVersion,
  versionOf,
} from "../membership/cluster-version.ts";
import type { Members } from "../membership/members.ts";
import type { Store } from "../mvcc/store.ts";
import type { WatchHub } from "../mvcc/watch-hub.ts";
import type { WriteTxn } from "../mvcc/write-txn.ts";
import type { EntryId } from "../wire/hot-entry.ts";
import {
  type AlarmRequest,
  AlarmType,
  type ClusterMemberAttrSetRequest,
  type CompactionRequest,
  type DeleteRangeRequest,
  type DowngradeInfoSetRequest,
  type InternalRaftRequest,
  type LeaseCheckpointRequest,
  type LeaseGrantRequest,
  type OutgoingTxnResponse,
  type PutRequest,
  type TxnRequest,
} from "../wire/rpc.ts";
import { Alarms } from "./alarms.ts";
import { countDeletes, countOps, countPut } from "./op-counts.ts";
import { type Applied, type Outcome, type Refusal, refused } from "./outcome.ts";
import {
  deleteRange,
  opsTaken,
  pathOf,
  put,
  refusalOf,
  refusalOfPut,
  runReadOnlyTxn,
  runTxn,
  type TxnRefusal,
  type TxnView,
} from "./txn.ts";

/** An entry's operation: one of the fields is there. Nothing here depends on the id. */
export type Operations = Partial<EntryId & Omit<InternalRaftRequest, "header" | "ID">>;

export interface ApplierParts {
  readonly store: Store;
  readonly lessor: Lessor;
  readonly members: Members;
  readonly hub: WatchHub;
  readonly backend: Backend;
  /** Monotonic milliseconds; only the leader's lease deadlines depend on it, and they are not replicated. */
  readonly nowMs: () => number;
  readonly metrics: Metrics;
}

const storageVersionKey = utf8("storageVersion");
const unnotedStorageVersion = "3.5.0";
/** The first release that notes the version of its store, and that stores checkpoints of leases. */
const firstStorageVersion: ClusterVersion = { major: 3, minor: 6 };

export class Applier {
  readonly alarms: Alarms;
  readonly #parts: ApplierParts;
  readonly #view: TxnView;

  constructor(parts: ApplierParts) {
    this.#parts = parts;
    this.alarms = new Alarms(parts.backend);
    const { store, lessor } = parts;
    this.#view = {
      get currentRevision() {
        return store.currentRevision;
      },
      get compactRevision() {
        return store.compactRevision;
      },
      range: (request) => store.range(request),
      hasLease: (id) => lessor.has(id),
    };
  }

  /** The layout that the store is in. One without a note of it is of 3.5, which had none. */
  get storageVersion(): string {
    const noted = this.#parts.backend.get("meta", storageVersionKey);
    return noted === undefined ? unnotedStorageVersion : textOf(noted);
  }

  /** Carries out one request. What this version does not know was refused by `readEntry`. */
  apply(request: Operations): Outcome {
    const gate = this.alarms.isEmpty ? undefined : this.#gate(request);
    if (gate !== undefined) return refused(gate);
    if (request.put !== undefined) return this.#put(request.put);
    if (request.txn !== undefined) return this.#txn(request.txn);
    if (request.deleteRange !== undefined) return this.#deleteRange(request.deleteRange);
    if (request.leaseGrant !== undefined) return this.#leaseGrant(request.leaseGrant);
    if (request.leaseRevoke !== undefined) return this.#leaseRevoke(leaseId(request.leaseRevoke.ID));
    if (request.leaseCheckpoint !== undefined) return this.#leaseCheckpoint(request.leaseCheckpoint);
    if (request.compaction !== undefined) return this.#compact(request.compaction);
    if (request.alarm !== undefined) return this.#alarm(request.alarm);
    if (request.clusterVersionSet !== undefined) return this.#setVersion(request.clusterVersionSet.ver);
    if (request.clusterMemberAttrSet !== undefined) return this.#publish(request.clusterMemberAttrSet);
    if (request.downgradeInfoSet !== undefined) return this.#setDowngrade(request.downgradeInfoSet);
    // Reads that older members put into the log, and the entry that etcd's tests use.
    return this.#answer({ case: "nothing" });
  }

  /** A read-only transaction against the present state; it never goes through the log. */
  readTxn(
    request: TxnRequest,
  ):
    | { readonly ok: true; readonly value: OutgoingTxnResponse }
    | { readonly ok: false; readonly refusal: TxnRefusal } {
    const path = pathOf(request, this.#view);
    const refusal = refusalOf(request, path, this.#view);
    if (refusal !== undefined) return { ok: false, refusal };
    countOps(this.#parts.metrics, opsTaken(request, path));
    return { ok: true, value: runReadOnlyTxn(request, path, this.#view) };
  }

  /** Alarms: a corrupt cluster takes no more writes, so that the damage does not spread; a full one no more data. */
  #gate(request: Operations): Refusal | undefined {
    const isWrite =
      request.put !== undefined ||
      request.txn !== undefined ||
      request.deleteRange !== undefined ||
      request.compaction !== undefined ||
      request.leaseGrant !== undefined ||
      request.leaseRevoke !== undefined;
    if (isWrite && this.alarms.has(AlarmType.CORRUPT)) return "corrupt";
    return addsData(request) && this.alarms.has(AlarmType.NOSPACE) ? "noSpace" : undefined;
  }

  #put(request: PutRequest): Outcome {
    // A put of its own looks for its lease first, one in a transaction for its key: so does etcd.
    if (request.lease !== noLease && !this.#parts.lessor.has(request.lease)) return refused("leaseNotFound");
    const refusal = refusalOfPut(request, [], this.#view);
    if (refusal !== undefined) return refused(refusal);
    const txn = this.#parts.store.beginWrite();
    const value = put(request, txn);
    countPut(this.#parts.metrics, request);
    return this.#commit(txn, { case: "put", value });
  }

  #deleteRange(request: DeleteRangeRequest): Outcome {
    const txn = this.#parts.store.beginWrite();
    const value = deleteRange(request, txn);
    countDeletes(this.#parts.metrics, 1);
    return this.#commit(txn, { case: "deleteRange", value });
  }

  #txn(request: TxnRequest): Outcome {
    const path = pathOf(request, this.#view);
    const refusal = refusalOf(request, path, this.#view);
    if (refusal !== undefined) return refused(refusal);
    const txn = this.#parts.store.beginWrite();
    const value = runTxn(request, path, txn);
    countOps(this.#parts.metrics, opsTaken(request, path));
    return this.#commit(txn, { case: "txn", value });
  }

  /** Publishes the changes, tells the watchers, and answers with the revision after them. */
  #commit(txn: WriteTxn, applied: Applied): Outcome {
    const { revision, events } = txn.end();
    if (events.length > 0) this.#parts.hub.notify({ revision, events });
    return { ok: true, revision, applied };
  }

  #answer(applied: Applied): Outcome {
    return { ok: true, revision: this.#parts.store.currentRevision, applied };
  }

  #leaseGrant({ ID, TTL }: LeaseGrantRequest): Outcome {
    const id = leaseId(ID);
    const outcome = this.#parts.lessor.grant(id, TTL, this.#parts.nowMs());
    if (outcome.ok) {
      this.#parts.metrics.leasesGranted.increment();
      this.#parts.metrics.leaseTtlSeconds.observe(outcome.ttlSeconds);
      return this.#answer({ case: "leaseGrant", id, ttlSeconds: outcome.ttlSeconds });
    }
    switch (outcome.reason) {
      case "no id":
        return refused("leaseNotFound");
      case "exists":
        return refused("leaseExists");
      case "ttl too large":
        return refused("leaseTtlTooLarge");
      default:
        return never(outcome.reason);
    }
  }

  /** Deletes what is attached in one revision. */
  #leaseRevoke(id: LeaseId): Outcome {
    const outcome = this.#parts.lessor.revoke(id);
    if (!outcome.ok) return refused("leaseNotFound");
    this.#parts.metrics.leasesRevoked.increment();
    const txn = this.#parts.store.beginWrite();
    for (const key of outcome.keys) txn.deleteRange({ key, rangeEnd: emptyBytes });
    countDeletes(this.#parts.metrics, outcome.keys.length);
    return this.#commit(txn, { case: "leaseRevoke" });
  }

  #leaseCheckpoint({ checkpoints }: LeaseCheckpointRequest): Outcome {
    // From cluster version 3.6 on checkpoints are stored, whatever flags a member runs with.
    const { clusterVersion } = this.#parts.members;
    const isPersisted =
      clusterVersion !== undefined && compareVersions(versionOf(clusterVersion), firstStorageVersion) >= 0;
    for (const { ID, remainingTTL } of checkpoints) {
      this.#parts.lessor.applyCheckpoint({ id: leaseId(ID), remainingTtlSeconds: remainingTTL }, isPersisted);
    }
    return this.#answer({ case: "leaseCheckpoint" });
  }

  #compact({ revision }: CompactionRequest): Outcome {
    const outcome = this.#parts.store.compact(revision);
    if (!outcome.ok) return refused(outcome.reason === "compacted" ? "compacted" : "futureRevision");
    this.#parts.hub.compacted();
    return this.#answer({ case: "compaction", revision });
  }

  #alarm(request: AlarmRequest): Outcome {
    return this.#answer({ case: "alarm", alarms: this.alarms.apply(request) });
  }

  #setVersion(ver: string): Outcome {
    const { members, backend } = this.#parts;
    const version = versionOf(ver);
    members.setClusterVersion(formatVersion(version));
    // The layout of the store follows the cluster, and 3.5 knows no version of it. etcd notes it a moment later.
    if (compareVersions(version, firstStorageVersion) >= 0) {
      backend.put("meta", storageVersionKey, utf8(formatVersion(version)));
    } else if (compareVersions(version, lowestClusterVersion) > 0) {
      backend.delete("meta", storageVersionKey);
    }
    return this.#answer({ case: "membership" });
  }

  #publish({ memberID, memberAttributes }: ClusterMemberAttrSetRequest): Outcome {
    const { name = "", clientUrls = [] } = memberAttributes ?? {};
    this.#parts.members.updateAttributes(memberID, { name, clientUrls });
    return this.#answer({ case: "membership" });
  }

  #setDowngrade({ enabled, ver }: DowngradeInfoSetRequest): Outcome {
    this.#parts.members.setDowngrade(enabled ? { isEnabled: true, target: ver } : { isEnabled: false });
    return this.#answer({ case: "membership" });
  }
}

/** Deletes, compactions, revocations and the alarm itself go on in a full store. */
function addsData({ put, txn, leaseGrant }: Operations): boolean {
  return put !== undefined || leaseGrant !== undefined || (txn !== undefined && hasPut(txn));
}

function hasPut({ success, failure }: TxnRequest): boolean {
  return [...success, ...failure].some(
    ({ request: op }) => op?.case === "requestPut" || (op?.case === "requestTxn" && hasPut(op.value)),
  );
}
