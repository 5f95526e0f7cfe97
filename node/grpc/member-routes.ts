// Which method of which service goes to which handler. What is not named here answers UNIMPLEMENTED.

import type { ClusterService } from "../api/cluster-service.ts";
import type { DowngradeService } from "../api/downgrade-service.ts";
import type { KvService } from "../api/kv-service.ts";
import type { LeaseService } from "../api/lease-service.ts";
import type { MaintenanceService } from "../api/maintenance-service.ts";
import type { SnapshotService } from "../api/snapshot-service.ts";
import type { WatchService } from "../api/watch-service.ts";
import { services } from "../wire/services.ts";
import { bidi, direct, type Route, serverStream, unary } from "./routes.ts";

export interface MemberServices {
  readonly kv: KvService;
  readonly watch: WatchService;
  readonly lease: LeaseService;
  readonly maintenance: MaintenanceService;
  readonly downgrade: DowngradeService;
  readonly snapshot: SnapshotService;
  readonly cluster: ClusterService;
}

export function memberRoutes({
  kv,
  watch,
  lease,
  maintenance,
  downgrade,
  snapshot,
  cluster,
}: MemberServices): readonly Route[] {
  return [
    direct(services.kv.range, (request, call, answer) => kv.range(request, call, answer)),
    serverStream(services.kv.rangeStream, (request, call) => kv.rangeStream(request, call)),
    direct(services.kv.put, (request, call, answer) => kv.put(request, call, answer)),
    direct(services.kv.deleteRange, (request, call, answer) => kv.deleteRange(request, call, answer)),
    direct(services.kv.txn, (request, call, answer) => kv.txn(request, call, answer)),
    unary(services.kv.compact, (request) => kv.compact(request)),
    bidi(services.watch.watch, (requests, call) => watch.watch(requests, call)),
    unary(services.lease.leaseGrant, (request) => lease.leaseGrant(request)),
    unary(services.lease.leaseRevoke, (request) => lease.leaseRevoke(request)),
    bidi(services.lease.leaseKeepAlive, (requests, call) => lease.leaseKeepAlive(requests, call)),
    unary(services.lease.leaseTimeToLive, (request) => lease.leaseTimeToLive(request)),
    unary(services.lease.leaseLeases, (request) => lease.leaseLeases(request)),
    unary(services.maintenance.status, (request) => maintenance.status(request)),
    unary(services.maintenance.hash, (request, call) => maintenance.hash(request, call)),
    unary(services.maintenance.hashKV, (request, call) => maintenance.hashKV(request, call)),
    unary(services.maintenance.alarm, (request) => maintenance.alarm(request)),
    serverStream(services.maintenance.snapshot, (request, call) => snapshot.snapshot(request, call)),
    unary(services.maintenance.defragment, (request) => maintenance.defragment(request)),
    unary(services.maintenance.moveLeader, (request, call) => maintenance.moveLeader(request, call)),
    unary(services.maintenance.downgrade, (request) => downgrade.downgrade(request)),
    unary(services.cluster.memberList, (request) => cluster.memberList(request)),
    unary(services.cluster.memberAdd, (request) => cluster.memberAdd(request)),
    unary(services.cluster.memberRemove, (request) => cluster.memberRemove(request)),
    unary(services.cluster.memberUpdate, (request) => cluster.memberUpdate(request)),
    unary(services.cluster.memberPromote, (request, call) => cluster.memberPromote(request, call)),
  ];
}
