// Does what a decision demands. An action that was done before, by an attempt whose answer was lost, counts as done.

import { annotations, apiVersion, labels, memberFinalizer, resources } from "../api/group.ts";
import { type Action, isAboutCertificates } from "../control/action.ts";
import { fieldManager, patchTypes } from "../kube/client.ts";
import { kinds, type Resource, resourcePath } from "../kube/objects.ts";
import { must, never } from "../lib/assert.ts";
import { type Endpoint, MemberError, type Members } from "../member/port.ts";
import type { Observation } from "../model/observation.ts";
import { podOf } from "../render/pod.ts";
import { volumeClaimOf, volumeOwnersOf } from "../render/volume.ts";
import { defragment, defragObject, writeDefrag } from "./act-defragment.ts";
import { endpointOf } from "./endpoint.ts";
import { type IssuePorts, issue } from "./issue.ts";
import { create, done, ifThere, type Outcome, patch, remove, resize } from "./requests.ts";

export interface ActPorts extends IssuePorts {
  readonly members: Members;
}

export async function perform(ports: ActPorts, observation: Observation, action: Action): Promise<Outcome> {
  if (isAboutCertificates(action)) {
    const isDone = await issue(ports, observation, action);
    return isDone ? done : { kind: "NotYet", message: "the Secret has changed" };
  }
  const { client } = ports;
  const { namespace } = observation.cluster.metadata;
  const at = (resource: Resource, name: string) => resourcePath(resource, { namespace, name });
  switch (action.kind) {
    case "ApplyObject": {
      const { object } = action;
      const resource = must(
        [kinds.service, kinds.disruptionBudget, kinds.networkPolicy].find(
          (one) => one.kind === object["kind"],
        ),
        "objects of this kind are applied",
        { kind: object["kind"] },
      );
      await client.request({
        method: "PATCH",
        path: at(resource, String((object["metadata"] as { name: string }).name)),
        query: { fieldManager, force: "true" },
        contentType: patchTypes.apply,
        body: object,
      });
      return done;
    }
    case "CreateMember":
      return create(client, kinds.member, namespace, memberObject(observation, action));
    case "UpdateMember": {
      const { initialCluster, clusterId, storageSize } = action;
      const spec = {
        ...(initialCluster === undefined ? {} : { initialCluster }),
        ...(clusterId === undefined ? {} : { clusterId }),
        ...(storageSize === undefined ? {} : { storage: { size: storageSize } }),
      };
      return patch(client, at(kinds.member, action.name), { spec });
    }
    case "DeleteMember":
      await ifThere(patch(client, at(kinds.member, action.name), { metadata: { finalizers: [] } }));
      return ifThere(remove(client, at(kinds.member, action.name)));
    case "CreateVolume":
      return create(client, kinds.volumeClaim, namespace, volumeClaimOf(observation, action.member));
    case "ResizeVolume":
      return resize(client, at(kinds.volumeClaim, action.name), action.size, observation.nowMs);
    case "ClaimVolume":
      return patch(client, at(kinds.volumeClaim, action.name), {
        metadata: {
          annotations: { [annotations.clusterUid]: observation.cluster.metadata.uid },
          ownerReferences: volumeOwnersOf(observation.cluster),
        },
      });
    case "LatchVolume":
      return patch(client, at(kinds.volumeClaim, action.name), {
        metadata: {
          annotations: { [annotations.clusterId]: action.clusterId },
          ownerReferences: volumeOwnersOf(observation.cluster),
        },
      });
    case "QuarantineVolume":
      // Without an owner it outlives the cluster; its name and labels say whose it was.
      return ifThere(
        patch(client, at(kinds.volumeClaim, action.name), {
          metadata: {
            labels: { [labels.quarantined]: "true" },
            annotations: { [annotations.quarantineReason]: action.reason },
            ownerReferences: [],
          },
        }),
      );
    case "DeleteVolume":
      return ifThere(remove(client, at(kinds.volumeClaim, action.name)));
    case "CreatePod":
      return create(
        client,
        kinds.pod,
        namespace,
        podOf(observation, action.member, action.initialClusterState),
      );
    case "UpdatePod": {
      const { role, initialCluster, initialClusterState } = action;
      const notes = {
        ...(initialCluster === undefined ? {} : { [annotations.initialCluster]: initialCluster }),
        ...(initialClusterState === undefined
          ? {}
          : { [annotations.initialClusterState]: initialClusterState }),
      };
      return ifThere(
        patch(client, at(kinds.pod, action.name), {
          metadata: {
            ...(role === undefined ? {} : { labels: { [labels.role]: role } }),
            ...(Object.keys(notes).length === 0 ? {} : { annotations: notes }),
          },
        }),
      );
    }
    case "DeletePod":
      return ifThere(remove(client, at(kinds.pod, action.name), action.uid));
    case "AddLearner":
      return ask(() => ports.members.addLearner(quorumEndpoint(observation), action.peerUrl));
    case "PromoteMember":
      return ask(() => ports.members.promote(quorumEndpoint(observation), action.id));
    case "RemoveMember":
      return ask(() => ports.members.remove(quorumEndpoint(observation, action.member), action.id));
    case "MoveLeader":
      return ask(() => ports.members.moveLeader(endpointOf(observation, action.from), action.toId));
    case "CreateDefrag":
      return create(client, kinds.defrag, namespace, defragObject(observation, action));
    case "WriteDefrag":
      for (const id of action.disarm) await ports.members.disarmNoSpace(quorumEndpoint(observation), id);
      return ifThere(writeDefrag(client, at(kinds.defrag, action.name), action.status));
    case "DeleteDefrag":
      return ifThere(remove(client, at(kinds.defrag, action.name)));
    case "Defragment":
      return defragment(ports, observation, action);
    default:
      return never(action);
  }
}

function memberObject(
  { cluster }: Observation,
  { name, spec }: Action & { kind: "CreateMember" },
): { readonly [key: string]: unknown } {
  const { namespace, uid } = cluster.metadata;
  return {
    apiVersion,
    kind: resources.member.kind,
    metadata: {
      name,
      namespace,
      labels: { [labels.cluster]: cluster.metadata.name, [labels.slot]: String(spec.slot) },
      finalizers: [memberFinalizer],
      ownerReferences: [
        {
          apiVersion,
          kind: resources.cluster.kind,
          name: cluster.metadata.name,
          uid,
          controller: true,
        },
      ],
    },
    spec,
  };
}

async function ask(call: () => Promise<void>): Promise<Outcome> {
  try {
    await call();
    return done;
  } catch (error) {
    if (!(error instanceof MemberError)) throw error;
    if (error.isDoneAlready) return done;
    if (error.isNotInSync) return { kind: "NotYet", message: error.text };
    if (error.isUnhealthyCluster) return { kind: "Unhealthy", message: error.text };
    throw error;
  }
}

/** A member with a quorum behind it, other than the one in question; the leader if it can be. */
function quorumEndpoint(observation: Observation, not?: string): Endpoint {
  const participating = observation.pods
    .map((pod) => ({ pod, probe: observation.probes[pod.name] }))
    .filter(({ pod, probe }) => probe?.isAnswered === true && probe.isParticipating && pod.name !== not)
    .toSorted((a, b) => leads(b.probe) - leads(a.probe));
  const best = must(participating[0], "a change of members is decided with a quorum in reach");
  return endpointOf(observation, best.pod.name);
}

function leads(probe: Observation["probes"][string] | undefined): number {
  return probe?.isAnswered === true && probe.leaderId === probe.memberId ? 1 : 0;
}
