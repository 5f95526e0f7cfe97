// The state machines of one member over one backend, in the order in which they depend on each other.

import { Applier } from "../apply/applier.ts";
import { refuseForeignState } from "../apply/foreign-state.ts";
import { Lessor } from "../lease/lessor.ts";
import type { Backend } from "../lib/backend.ts";
import { utf8 } from "../lib/bytes.ts";
import { Members } from "../membership/members.ts";
import { Store } from "../mvcc/store.ts";
import { WatchHub } from "../mvcc/watch-hub.ts";
import { minLeaseTtlSeconds, type ReplicaOptions } from "./options.ts";

export interface Machines {
  readonly members: Members;
  readonly lessor: Lessor;
  readonly store: Store;
  readonly hub: WatchHub;
  readonly applier: Applier;
}

/** What etcd allows a message above the request limit. */
const grpcOverheadBytes = 512 * 1024;

/** Reads what the backend holds. `onSyncWanted` as in WatchHubPorts. Throws FatalError for what cannot be served. */
export function createMachines(
  backend: Backend,
  options: ReplicaOptions,
  onSyncWanted: () => void,
): Machines {
  refuseForeignState(backend);
  beginAuthRevision(backend);
  const members = new Members(backend);
  const lessor = new Lessor(backend, { minTtlSeconds: minLeaseTtlSeconds(options) });
  const store = new Store(backend, { leases: lessor });
  const hub = new WatchHub(
    { history: store.history, random: options.random, onSyncWanted },
    {
      progressIntervalMs: options.progressNotifyIntervalMs,
      fragmentBytesMax: options.requestBytesMax + grpcOverheadBytes,
    },
  );
  const applier = new Applier({
    store,
    lessor,
    members,
    hub,
    backend,
    nowMs: () => options.clock.nowMs(),
    metrics: options.metrics,
  });
  return { members, lessor, store, hub, applier };
}

const authRevisionKey = utf8("authRevision");

/** etcd's store counts changes of its users and roles from 1 on; it is part of the hash over everything. */
function beginAuthRevision(backend: Backend): void {
  if (backend.get("auth", authRevisionKey) !== undefined) return;
  const first = new Uint8Array(8);
  first[7] = 1;
  backend.put("auth", authRevisionKey, first);
}
