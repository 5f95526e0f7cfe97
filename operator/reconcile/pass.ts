// One pass over one cluster: observe, decide, write the status, act. What is in flight is on record before it is
// done; the record is written with the resource version it was read with, so two operators never both write it.

import type { ClusterStatus } from "../api/cluster-status.ts";
import type { Action } from "../control/action.ts";
import { isAboutCertificates, isGrave } from "../control/action.ts";
import { decide } from "../control/decide.ts";
import { statusWithoutCluster } from "../control/defragment.ts";
import type { Decision } from "../control/status.ts";
import { isStatus, type KubeClient, patchTypes } from "../kube/client.ts";
import { kinds, resourcePath } from "../kube/objects.ts";
import { canonical } from "../lib/canonical.ts";
import { describeError } from "../lib/log.ts";
import type { Cluster } from "../model/objects.ts";
import type { Observation } from "../model/observation.ts";
import { perform } from "./act.ts";
import type { IssuePorts } from "./issue.ts";
import { memberStatusesOf } from "./member-status.ts";
import { type ObservePorts, observe } from "./observe.ts";
import type { ClusterState } from "./state.ts";

export interface PassPorts extends ObservePorts, IssuePorts {
  /** Refuses changes while this operator does not lead. */
  readonly client: KubeClient;
  readonly readCached: (namespace: string, name: string) => ClusterState;
  readonly readFresh: (namespace: string, name: string) => Promise<ClusterState>;
  readonly tell: (
    cluster: Cluster,
    event: { type: "Normal" | "Warning"; reason: string; message: string },
  ) => void;
  readonly onAction: (kind: Action["kind"], result: "success" | "error") => void;
}

const refusedMs = 1_000;

/** Returns after how many milliseconds the cluster wants another pass; undefined waits for a change. */
export async function pass(ports: PassPorts, namespace: string, name: string): Promise<number | undefined> {
  const cached = ports.readCached(namespace, name);
  if (isGone(cached)) {
    const fresh = await ports.readFresh(namespace, name);
    await tellRuns(ports, fresh);
    return releaseMembers(ports, fresh);
  }
  let observation = await observe(ports, cached);
  let decision = decide(observation);
  if (needsFreshReading(decision)) {
    const fresh = await ports.readFresh(namespace, name);
    if (isGone(fresh)) return 0;
    observation = await observe(ports, fresh);
    decision = decide(observation);
  }
  const cluster = await writeStatus(ports, observation, decision.status);
  if (cluster === undefined) return 0;
  await writeMemberStatuses(ports, observation, decision.status);
  announce(ports, observation.cluster, decision);
  if (decision.action === undefined) return decision.requeueAfterMs;
  return act(ports, { ...observation, cluster }, decision.action);
}

async function act(ports: PassPorts, observation: Observation, action: Action): Promise<number> {
  try {
    const outcome = await perform(ports, observation, action);
    ports.onAction(action.kind, "success");
    if (outcome.kind === "Done") return 0;
    const operation = observation.cluster.status?.operation;
    if (outcome.kind === "Unhealthy" && operation?.type === "Replace" && operation.order === "LearnerFirst") {
      // Members that demand all voters connected take no learner now: the lost one has to leave first.
      const status = {
        ...observation.cluster.status,
        operation: { ...operation, order: "RemoveFirst" as const },
      };
      await writeStatus(ports, observation, status);
    }
    return refusedMs;
  } catch (error) {
    ports.onAction(action.kind, "error");
    if (isAboutCertificates(action)) {
      const message = `${action.why}: ${describeError(error)}`;
      ports.tell(observation.cluster, { type: "Warning", reason: "CertificateFailed", message });
    }
    throw error;
  }
}

/** What the copies say may be a moment old: whatever begins or takes away something is decided from now. */
function needsFreshReading({ step }: Decision): boolean {
  if (step.kind === "Act") return isGrave(step.action);
  return step.kind === "Begin" || step.kind === "Latch" || step.kind === "Finish" || step.kind === "Amend";
}

function isGone({ cluster }: ClusterState): boolean {
  return cluster === undefined || cluster.metadata.deletionTimestamp !== undefined;
}

/** The cluster goes as a whole: its members need not leave it one by one. Owner references do the rest. */
async function releaseMembers(ports: PassPorts, state: ClusterState): Promise<undefined> {
  if (!isGone(state)) return undefined;
  for (const { metadata } of state.members) {
    if (metadata.deletionTimestamp === undefined || (metadata.finalizers ?? []).length === 0) continue;
    try {
      await ports.client.request({
        method: "PATCH",
        path: resourcePath(kinds.member, { namespace: metadata.namespace, name: metadata.name }),
        contentType: patchTypes.merge,
        body: { metadata: { finalizers: [] } },
      });
    } catch (error) {
      if (!isStatus(error, 404)) throw error;
    }
  }
  return undefined;
}

/** Runs that name a cluster which is not there say so; they begin when it comes. */
async function tellRuns({ client }: PassPorts, state: ClusterState): Promise<void> {
  if (!isGone(state)) return;
  for (const run of state.defrags) {
    const status = statusWithoutCluster(run);
    if (status === undefined) continue;
    const { namespace, name } = run.metadata;
    try {
      await client.request({
        method: "PATCH",
        path: resourcePath(kinds.defrag, { namespace, name, subresource: "status" }),
        contentType: patchTypes.merge,
        body: { status },
      });
    } catch (error) {
      if (!isStatus(error, 404)) throw error;
    }
  }
}

/** Writes it if it differs. Returns the cluster as it is now; undefined when somebody else wrote meanwhile. */
async function writeStatus(
  { client }: PassPorts,
  { cluster }: Observation,
  status: ClusterStatus,
): Promise<Cluster | undefined> {
  if (canonical(cluster.status ?? {}) === canonical(status)) return cluster;
  const { namespace, name } = cluster.metadata;
  try {
    return (await client.request({
      method: "PUT",
      path: resourcePath(kinds.cluster, { namespace, name, subresource: "status" }),
      body: { apiVersion: kinds.cluster.apiVersion, kind: kinds.cluster.kind, ...cluster, status },
    })) as Cluster;
  } catch (error) {
    if (isStatus(error, 404, 409)) return undefined;
    throw error;
  }
}

async function writeMemberStatuses(
  { client }: PassPorts,
  observation: Observation,
  status: ClusterStatus,
): Promise<void> {
  for (const { member, status: wanted } of memberStatusesOf(observation, status)) {
    try {
      await client.request({
        method: "PATCH",
        path: resourcePath(kinds.member, {
          namespace: observation.cluster.metadata.namespace,
          name: member.metadata.name,
          subresource: "status",
        }),
        contentType: patchTypes.merge,
        body: { status: wanted },
      });
    } catch (error) {
      if (!isStatus(error, 404)) throw error;
    }
  }
}

/** Events for what changed: an operation that began or ended, and conditions that turned bad or good. */
function announce(ports: PassPorts, cluster: Cluster, { status, step }: Decision): void {
  if (step.kind === "Begin") {
    const { type, member, reason } = step.operation;
    ports.tell(cluster, { type: "Normal", reason: `${type}Started`, message: `${member}: ${reason}` });
  } else if (step.kind === "Finish" && cluster.status?.operation !== undefined) {
    const { type, member, isAbandoned } = cluster.status.operation;
    const isWarning = isAbandoned === true;
    const reason = `${type}${isWarning ? "Abandoned" : "Finished"}`;
    ports.tell(cluster, { type: isWarning ? "Warning" : "Normal", reason, message: member });
  } else if (step.kind === "Wait" && step.reason !== "Waiting" && step.reason !== "Paused") {
    ports.tell(cluster, { type: "Warning", reason: step.reason, message: step.message });
  }
  if (step.kind === "Act" && step.action.kind === "RotateAuthority") {
    ports.tell(cluster, { type: "Normal", reason: "RotatingAuthority", message: step.action.why });
  } else if (step.kind === "Act" && step.action.kind === "IssueCertificate") {
    ports.tell(cluster, { type: "Normal", reason: "IssuingCertificate", message: step.action.why });
  }
  for (const { type, status: now, reason, message } of status.conditions ?? []) {
    const before = cluster.status?.conditions?.find((one) => one.type === type)?.status;
    if (before === undefined || before === now) continue;
    if (type === "Available") {
      ports.tell(cluster, { type: now === "True" ? "Normal" : "Warning", reason, message });
    } else if (type === "Degraded" && now === "True") {
      ports.tell(cluster, { type: "Warning", reason, message });
    }
  }
}
