// Reads everything that a decision about one cluster needs, once.

import { must } from "../lib/assert.ts";
import type { Clock } from "../lib/clock.ts";
import type { Answer, Members } from "../member/port.ts";
import type { Cluster, Member } from "../model/objects.ts";
import type { Observation, Probe, Roster, Settings } from "../model/observation.ts";
import { hasTls, operatorSecretNameOf } from "../model/tls-names.ts";
import { endpointOf } from "./endpoint.ts";
import { accessOf, givenSecretNamesOf, type Secret, secretFactOf } from "./secrets.ts";
import { type ClusterState, objectHashesOf, podFactOf, volumeFactOf } from "./state.ts";

export interface ObservePorts {
  readonly members: Members;
  readonly clock: Clock;
  readonly holder: string;
  readonly settings: Settings;
  /** A Secret that somebody else writes; undefined when it is not there. */
  readonly readSecret: (namespace: string, name: string) => Promise<Secret | undefined>;
}

export async function observe(ports: ObservePorts, state: ClusterState): Promise<Observation> {
  const cluster = must(state.cluster, "a cluster that is observed exists");
  const ownedByUs = (object: { metadata: { ownerReferences?: readonly { uid: string }[] } }) =>
    object.metadata.ownerReferences?.some((owner) => owner.uid === cluster.metadata.uid) === true;
  const members = state.members.filter(ownedByUs);
  const names = new Set(members.map((member) => member.metadata.name));
  const pods = state.pods.map(podFactOf);
  const secrets = [...state.secrets.filter(isOf(cluster, members)), ...(await givenSecrets(ports, cluster))];
  const access = accessOf(cluster, secrets);
  const reachable = pods.filter(
    (pod) => pod.address !== undefined && !isOver(pod.phase) && names.has(pod.name),
  );
  const answers = await Promise.all(
    reachable.map(async (pod) => {
      if (access === undefined && hasTls(cluster, "client")) return [pod.name, noAccess(cluster)] as const;
      return [pod.name, await ports.members.ask(endpointOf({ cluster, pods, access }, pod.name))] as const;
    }),
  );
  const probes: Record<string, Probe> = Object.fromEntries(
    answers.map(([name, answer]) => [name, answer.probe]),
  );
  return {
    nowMs: ports.clock.wallMs(),
    holder: ports.holder,
    cluster,
    members,
    foreignMembers: state.members.filter((one) => !ownedByUs(one)).map((one) => one.metadata.name),
    defrags: state.defrags,
    snapshots: state.snapshots,
    restores: state.restores,
    pods,
    volumes: state.volumes.map(volumeFactOf),
    probes,
    roster: rosterOf(
      answers.map(([, answer]) => answer),
      cluster.status?.clusterId,
    ),
    objectHashes: objectHashesOf(state.others),
    secrets: secrets.map(secretFactOf),
    access,
    settings: ports.settings,
  };
}

/** Secrets of an earlier cluster of the name are about to go with it. */
function isOf(cluster: Cluster, members: readonly Member[]): (secret: Secret) => boolean {
  const owners = new Set([cluster.metadata.uid, ...members.map(({ metadata }) => metadata.uid)]);
  return ({ metadata }) => metadata.ownerReferences?.some(({ uid }) => owners.has(uid)) === true;
}

async function givenSecrets(ports: ObservePorts, cluster: Cluster): Promise<readonly Secret[]> {
  const names = givenSecretNamesOf(cluster);
  const found = await Promise.all(names.map((name) => ports.readSecret(cluster.metadata.namespace, name)));
  return found.filter((secret) => secret !== undefined);
}

function noAccess(cluster: Cluster): Answer {
  const error = `the operator has no certificate to ask it with: Secret ${operatorSecretNameOf(cluster)}`;
  return { probe: { isAnswered: false, error } };
}

function isOver(phase: string): boolean {
  return phase === "Failed" || phase === "Succeeded";
}

/** The member list of our cluster; before its id is known nobody's is believed. */
function rosterOf(answers: readonly Answer[], clusterId: string | undefined): Roster | undefined {
  // Alarms come from each member's own status; one list holds them all.
  const own = answers.flatMap(({ roster }) =>
    roster !== undefined && roster.clusterId === clusterId ? [roster] : [],
  );
  const [first] = own;
  if (first === undefined) return undefined;
  const alarms = own.flatMap((roster) => roster.alarms);
  const distinct = [...new Map(alarms.map((one) => [`${one.memberId} ${one.alarm}`, one])).values()];
  return { ...first, alarms: distinct };
}
