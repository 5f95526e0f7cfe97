// Reads everything that a decision about one cluster needs, once.

import { must } from "../lib/assert.ts";
import type { Clock } from "../lib/clock.ts";
import type { Answer, Members } from "../member/port.ts";
import { clientPort } from "../model/names.ts";
import type { Observation, Probe, Roster, Settings } from "../model/observation.ts";
import { type ClusterState, objectHashesOf, podFactOf, volumeFactOf } from "./state.ts";

export interface ObservePorts {
  readonly members: Members;
  readonly clock: Clock;
  readonly holder: string;
  readonly settings: Settings;
}

export async function observe(ports: ObservePorts, state: ClusterState): Promise<Observation> {
  const cluster = must(state.cluster, "a cluster that is observed exists");
  const ownedByUs = (object: { metadata: { ownerReferences?: readonly { uid: string }[] } }) =>
    object.metadata.ownerReferences?.some((owner) => owner.uid === cluster.metadata.uid) === true;
  const members = state.members.filter(ownedByUs);
  const names = new Set(members.map((member) => member.metadata.name));
  const pods = state.pods.map(podFactOf);
  const reachable = pods.filter(
    (pod) => pod.address !== undefined && !isOver(pod.phase) && names.has(pod.name),
  );
  const answers = await Promise.all(
    reachable.map(async (pod) => {
      const answer = await ports.members.ask(`${pod.address}:${clientPort}`);
      return [pod.name, answer] as const;
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
    pods,
    volumes: state.volumes.map(volumeFactOf),
    probes,
    roster: rosterOf(
      answers.map(([, answer]) => answer),
      cluster.status?.clusterId,
    ),
    objectHashes: objectHashesOf(state.others),
    settings: ports.settings,
  };
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
