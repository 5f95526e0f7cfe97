// Runs of defragmentation: their objects, and the call to a member.
import type { DefragStatus } from "../api/defrag.ts";
import { apiVersion, labels, resources } from "../api/group.ts";
import type { Action } from "../control/action.ts";
import { withOutcome } from "../control/defragment.ts";
import type { KubeClient } from "../kube/client.ts";
import { kinds, resourcePath } from "../kube/objects.ts";
import { must } from "../lib/assert.ts";
import type { Members } from "../member/port.ts";
import type { Observation } from "../model/observation.ts";
import { endpointOf } from "./endpoint.ts";
import { ifThere, type Outcome, patch } from "./requests.ts";

export function defragObject(
  { cluster }: Observation,
  { name, spec }: Action & { kind: "CreateDefrag" },
): { readonly [key: string]: unknown } {
  const { namespace, uid } = cluster.metadata;
  return {
    apiVersion,
    kind: resources.defrag.kind,
    metadata: {
      name,
      namespace,
      labels: { [labels.cluster]: cluster.metadata.name },
      ownerReferences: [{ apiVersion, kind: resources.cluster.kind, name: cluster.metadata.name, uid }],
    },
    spec,
  };
}

export async function defragment(
  { client, members }: { readonly client: KubeClient; readonly members: Members },
  observation: Observation,
  { run: name, member }: Action & { kind: "Defragment" },
): Promise<Outcome> {
  const at = endpointOf(observation, member);
  const outcome = await members.defragment(at);
  if (!outcome.isOver) return { kind: "NotYet", message: `${member} is being defragmented` };
  const { probe } = await members.ask(at);
  const run = must(
    observation.defrags.find((one) => one.metadata.name === name),
    "a member is defragmented for a run that exists",
    { name },
  );
  const status = withOutcome(run.status ?? {}, member, {
    outcome: outcome.problem === undefined ? "Defragmented" : "Failed",
    ...(outcome.problem === undefined ? {} : { reason: outcome.problem.slice(0, 512) }),
    ...(probe.isAnswered ? { dbSizeBytesAfter: probe.dbSizeBytes } : {}),
  });
  const { namespace } = observation.cluster.metadata;
  return ifThere(writeDefrag(client, resourcePath(kinds.defrag, { namespace, name }), status));
}

/** As a whole: a merge patch would keep a message that is over. */
export function writeDefrag(client: KubeClient, path: string, status: DefragStatus): Promise<Outcome> {
  return patch(client, `${path}/status`, { status: { message: null, ...status } });
}
