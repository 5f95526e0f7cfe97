// A pass over one snapshot or schedule: read the copies, decide, write the status, act. Whatever is done is named
// beforehand, so that doing it again after a crash changes nothing more.
import { labels, snapshotFinalizer } from "../api/group.ts";
import { decideRestore, type RestoreDecision } from "../control/snapshot/decide-restore.ts";
import {
  decideSchedule,
  type ScheduleAction,
  type ScheduleObservation,
} from "../control/snapshot/decide-schedule.ts";
import {
  decideSnapshot,
  type SnapshotAction,
  type SnapshotDecision,
  type SnapshotObservation,
} from "../control/snapshot/decide-snapshot.ts";
import { fieldManager, isStatus, type KubeClient, patchTypes } from "../kube/client.ts";
import { type KubeObject, kinds, type Resource, resourcePath } from "../kube/objects.ts";
import { canonical } from "../lib/canonical.ts";
import type { Clock } from "../lib/clock.ts";
import type { Cluster } from "../model/objects.ts";
import type { Settings } from "../model/observation.ts";
import type { Restore, Schedule, Snapshot } from "../model/snapshot-objects.ts";
import { clientSecretNameOf, hasTls } from "../model/tls-names.ts";
import { agentJobOf, jobNameOf, restoreJobNameOf } from "../render/agent-job.ts";
import { sourceOf } from "../render/artifact.ts";
import { type Copies, clusterOf, findIn, jobsOf, snapshotsOf } from "./read.ts";

export interface SnapshotPorts {
  /** Refuses changes while this operator does not lead. */
  readonly client: KubeClient;
  readonly copies: Copies;
  readonly clock: Clock;
  readonly settings: Settings;
  readonly tell: (
    resource: Resource,
    about: KubeObject,
    event: { readonly type: "Normal" | "Warning"; readonly reason: string; readonly message: string },
  ) => void;
}

/** Returns after how many milliseconds it wants another pass; undefined waits for a change. */
export async function snapshotPass(
  ports: SnapshotPorts,
  namespace: string,
  name: string,
): Promise<number | undefined> {
  const snapshot = findIn<Snapshot>(ports.copies.snapshots(), { namespace, name });
  if (snapshot === undefined) return undefined;
  const observation: SnapshotObservation = {
    nowMs: ports.clock.wallMs(),
    snapshot,
    cluster: clusterOf(ports.copies, snapshot),
    jobs: jobsOf(ports.copies, snapshot),
  };
  const decision = decideSnapshot(observation);
  const isWritten = await writeStatus(ports, kinds.snapshot, snapshot, decision.status);
  if (!isWritten) return undefined;
  announce(ports, kinds.snapshot, snapshot, decision);
  if (decision.action !== undefined) await actOnSnapshot(ports, observation, decision.action);
  return decision.requeueAfterMs;
}

async function actOnSnapshot(
  { client, settings }: SnapshotPorts,
  { snapshot, cluster }: SnapshotObservation,
  action: SnapshotAction,
): Promise<void> {
  const { namespace, name, resourceVersion, finalizers = [] } = snapshot.metadata;
  switch (action.kind) {
    case "AddFinalizer":
    case "RemoveFinalizer": {
      const others = finalizers.filter((one) => one !== snapshotFinalizer);
      const wanted = action.kind === "AddFinalizer" ? [...others, snapshotFinalizer] : others;
      // The version keeps a finalizer that somebody else added meanwhile.
      const body = { metadata: { resourceVersion, finalizers: wanted } };
      const path = resourcePath(kinds.snapshot, { namespace, name });
      await unless([404, 409], () =>
        client.request({
          method: "PATCH",
          path,
          query: { fieldManager },
          contentType: patchTypes.merge,
          body,
        }),
      );
      return;
    }
    case "CreateJob": {
      const { task, endpoints } = action;
      const isSecret = cluster !== undefined && hasTls(cluster, "client");
      const tlsSecret = isSecret ? clientSecretNameOf(cluster) : undefined;
      const { revision, hash } = snapshot.status ?? {};
      const body = agentJobOf({
        name: jobNameOf(snapshot, task),
        task,
        owner: { kind: kinds.snapshot.kind, metadata: snapshot.metadata },
        source: sourceOf(snapshot),
        known: {
          ...(revision === undefined ? {} : { revision }),
          ...(hash === undefined ? {} : { hash }),
        },
        activeDeadlineSeconds: snapshot.spec.activeDeadlineSeconds,
        ...{ cluster, endpoints, tlsSecret, settings },
      });
      await create(client, kinds.job, namespace, body);
      return;
    }
    case "DeleteJob":
      await remove(client, resourcePath(kinds.job, { namespace, name: action.name }), action.uid);
      return;
  }
}

export async function schedulePass(
  ports: SnapshotPorts,
  namespace: string,
  name: string,
): Promise<number | undefined> {
  const schedule = findIn<Schedule>(ports.copies.schedules(), { namespace, name });
  if (schedule === undefined) return undefined;
  const observation: ScheduleObservation = {
    nowMs: ports.clock.wallMs(),
    schedule,
    snapshots: snapshotsOf(ports.copies, schedule),
  };
  const { status, action, requeueAfterMs } = decideSchedule(observation);
  if (action !== undefined) await actOnSchedule(ports, schedule, action);
  await writeStatus(ports, kinds.schedule, schedule, status);
  return requeueAfterMs;
}

async function actOnSchedule(
  ports: SnapshotPorts,
  schedule: Schedule,
  action: ScheduleAction,
): Promise<void> {
  const { client } = ports;
  const { namespace, name } = schedule.metadata;
  switch (action.kind) {
    case "CreateSnapshot": {
      const { clusterRef, template } = schedule.spec;
      // Without an owner: whoever deletes the schedule keeps the snapshots.
      await create(client, kinds.snapshot, namespace, {
        apiVersion: kinds.snapshot.apiVersion,
        kind: kinds.snapshot.kind,
        metadata: { name: action.name, namespace, labels: { [labels.schedule]: name } },
        spec: { clusterRef, ...template },
      });
      ports.tell(kinds.schedule, schedule, {
        type: "Normal",
        reason: "SnapshotStarted",
        message: action.name,
      });
      return;
    }
    case "DeleteSnapshot":
      await remove(client, resourcePath(kinds.snapshot, { namespace, name: action.name }), action.uid);
      ports.tell(kinds.schedule, schedule, {
        type: "Normal",
        reason: "SnapshotDeleted",
        message: `${action.name}: ${action.why}`,
      });
      return;
  }
}

export async function restorePass(
  ports: SnapshotPorts,
  namespace: string,
  name: string,
): Promise<number | undefined> {
  const { copies, client, settings } = ports;
  const restore = findIn<Restore>(copies.restores(), { namespace, name });
  if (restore === undefined) return undefined;
  const cluster = findIn<Cluster>(copies.clusters(), { namespace, name: restore.spec.clusterRef.name });
  const decision = decideRestore({
    nowMs: ports.clock.wallMs(),
    restore,
    cluster,
    snapshots: ([...copies.snapshots()] as unknown as Snapshot[]).filter(
      ({ metadata }) => metadata.namespace === namespace,
    ),
    jobs: jobsOf(copies, restore),
  });
  if (!(await writeStatus(ports, kinds.restore, restore, decision.status))) return undefined;
  announce(ports, kinds.restore, restore, decision);
  const { action } = decision;
  if (action?.kind === "DeleteJob") {
    await remove(client, resourcePath(kinds.job, { namespace, name: action.name }), action.uid);
  } else if (action !== undefined) {
    const body = agentJobOf({
      name: restoreJobNameOf(name),
      task: "Verify",
      owner: { kind: kinds.restore.kind, metadata: restore.metadata },
      source: action.source,
      known: {},
      activeDeadlineSeconds: restore.spec.activeDeadlineSeconds,
      ...{ cluster, endpoints: [], tlsSecret: undefined, settings },
    });
    await create(client, kinds.job, namespace, body);
  }
  return decision.requeueAfterMs;
}

/** False when it is gone, or somebody else wrote meanwhile: the watch brings another pass then. */
async function writeStatus(
  { client }: SnapshotPorts,
  resource: Resource,
  object: Snapshot | Schedule | Restore,
  status: object,
): Promise<boolean> {
  if (canonical(object.status ?? {}) === canonical(status)) return true;
  const { namespace, name } = object.metadata;
  const { apiVersion, kind } = resource;
  try {
    await client.request({
      method: "PUT",
      path: resourcePath(resource, { namespace, name, subresource: "status" }),
      body: { apiVersion, kind, ...object, status },
    });
    return true;
  } catch (error) {
    if (isStatus(error, 404, 409)) return false;
    throw error;
  }
}

/** Events for conditions that changed. */
function announce(
  ports: SnapshotPorts,
  resource: Resource,
  object: Snapshot | Restore,
  { status }: SnapshotDecision | RestoreDecision,
): void {
  for (const { type, status: now, reason, message } of status.conditions ?? []) {
    const before = object.status?.conditions?.find((one) => one.type === type);
    if (before?.status === now && before.reason === reason) continue;
    if (now === "False" && (reason === "Running" || reason === "Restoring")) continue;
    const eventType = now === "True" ? "Normal" : "Warning";
    ports.tell(resource, object, { type: eventType, reason: `${type}${reason}`, message });
  }
}

async function create(
  client: KubeClient,
  resource: Resource,
  namespace: string,
  body: unknown,
): Promise<void> {
  const path = resourcePath(resource, { namespace });
  await unless([409], () => client.request({ method: "POST", path, query: { fieldManager }, body }));
}

async function remove(client: KubeClient, path: string, uid: string): Promise<void> {
  const body = {
    apiVersion: "v1",
    kind: "DeleteOptions",
    propagationPolicy: "Background",
    preconditions: { uid },
  };
  await unless([404, 409], () => client.request({ method: "DELETE", path, body }));
}

/** With these answers what was wanted is so already, or is for another to do. */
async function unless(statuses: readonly number[], request: () => Promise<unknown>): Promise<void> {
  try {
    await request();
  } catch (error) {
    if (!isStatus(error, ...statuses)) throw error;
  }
}
