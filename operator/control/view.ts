// An observation, joined: every member with its Pod, volume, entry in the live list and health.
import type { MemberStatus } from "../api/cluster-status.ts";
import { secondTime } from "../lib/time.ts";
import { type ExitReason, remedies } from "../model/exits.ts";
import { memberOfPeerUrl, peerUrlOf } from "../model/names.ts";
import type { Member } from "../model/objects.ts";
import type { Observation, PodFact, Probe, RosterEntry, VolumeFact } from "../model/observation.ts";
import { canRemove, canRestart, quorumOf, type Votes } from "../model/quorum.ts";

export interface MemberView {
  readonly name: string;
  /** Undefined for an entry of the live list without an EtcdLikeMember. */
  readonly member: Member | undefined;
  readonly pod: PodFact | undefined;
  readonly volume: VolumeFact | undefined;
  readonly probe: (Probe & { isAnswered: true }) | undefined;
  readonly entry: RosterEntry | undefined;
  readonly isLeader: boolean;
  readonly health: MemberStatus["health"];
  readonly reason: string;
  readonly exitReason: ExitReason | undefined;
  /** Since when it is healthy, or is not; wall clock. */
  readonly sinceMs: number;
}

export interface View {
  readonly observation: Observation;
  /** By slot; entries of the live list without a member come last. */
  readonly members: readonly MemberView[];
  readonly hasQuorum: boolean;
  readonly voters: readonly RosterEntry[];
  readonly learners: readonly RosterEntry[];
  readonly healthyVoters: number;
  readonly leader: MemberView | undefined;
}

export function viewOf(observation: Observation): View {
  const { cluster, roster } = observation;
  const names = observation.members
    .toSorted((a, b) => a.spec.slot - b.spec.slot || compare(a.metadata.name, b.metadata.name))
    .map((member) => member.metadata.name);
  const strays = (roster?.members ?? [])
    .map((entry) => memberOfPeerUrl(cluster, entry.peerUrl) ?? `id-${entry.id}`)
    .filter((name) => !names.includes(name));
  const members = [...names, ...strays].map((name) => memberView(observation, name));
  const entries = roster?.members ?? [];
  const voters = entries.filter((entry) => !entry.isLearner);
  return {
    observation,
    members,
    hasQuorum: roster !== undefined,
    voters,
    learners: entries.filter((entry) => entry.isLearner),
    healthyVoters: members.filter((view) => isHealthyVoter(view)).length,
    leader: members.find((view) => view.isLeader),
  };
}

function memberView(observation: Observation, name: string): MemberView {
  const { cluster, roster, nowMs } = observation;
  const member = observation.members.find((one) => one.metadata.name === name);
  const pod = observation.pods.find((one) => one.name === name);
  const volume = observation.volumes.find((one) => one.name === member?.spec.volumeName);
  const url = peerUrlOf(cluster, name);
  const entry = roster?.members.find((one) => one.peerUrl === url || `id-${one.id}` === name);
  const given = observation.probes[name];
  const probe = given?.isAnswered === true ? given : undefined;
  const exitReason = pod?.exit?.reason;
  const [health, reason] = healthOf({ observation, member, pod, probe: given, entry });
  const before = cluster.status?.members?.find((one) => one.name === name);
  const isUnchanged = before !== undefined && (before.health === "Healthy") === (health === "Healthy");
  return {
    name,
    member,
    pod,
    volume,
    probe,
    entry,
    isLeader: probe?.isParticipating === true && probe.leaderId === probe.memberId,
    health,
    reason,
    exitReason,
    sinceMs: isUnchanged ? Date.parse(before.since) : Date.parse(secondTime(nowMs)),
  };
}

function healthOf(of: {
  readonly observation: Observation;
  readonly member: Member | undefined;
  readonly pod: PodFact | undefined;
  readonly probe: Probe | undefined;
  readonly entry: RosterEntry | undefined;
}): readonly [MemberStatus["health"], string] {
  const { pod, probe, entry } = of;
  if (pod === undefined) return ["Stopped", "it has no Pod"];
  if (pod.isTerminating) return ["Stopped", "its Pod is being deleted"];
  if (pod.phase === "Failed" || pod.phase === "Succeeded") return ["Failed", `its Pod ended: ${pod.phase}`];
  if (pod.exit?.reason !== undefined) return ["Failed", pod.exit.reason];
  const expectedId = of.observation.cluster.status?.clusterId;
  if (probe?.isAnswered === true) {
    if (expectedId !== undefined && probe.clusterId !== expectedId) {
      return ["Failed", `it answers for cluster ${probe.clusterId}`];
    }
    if (of.observation.roster !== undefined && entry === undefined) {
      return ["Lagging", "it is not in the member list"];
    }
    if (probe.isLearner || probe.isParticipating) return ["Healthy", ""];
    return ["Lagging", "it answers local reads only"];
  }
  if (pod.exit !== undefined) return ["Unreachable", `it ended with code ${pod.exit.code}`];
  if (pod.unschedulable !== undefined) return ["Starting", `its Pod finds no node: ${pod.unschedulable}`];
  if (pod.nodeName === undefined) return ["Starting", "its Pod is not scheduled"];
  if (pod.address === undefined) return ["Starting", "its Pod has no address yet"];
  return [pod.isReady ? "Unreachable" : "Starting", probe?.error ?? "it was not asked yet"];
}

export function isHealthyVoter(view: MemberView): boolean {
  return view.health === "Healthy" && view.entry !== undefined && !view.entry.isLearner;
}

/** Whether a restart does not cure how it ended. */
export function isBeyondRestart(view: MemberView): boolean {
  if (view.exitReason === undefined) return false;
  const remedy = remedies[view.exitReason];
  return remedy === "Replace" || (remedy === "ReplaceAfterRestart" && (view.pod?.restarts ?? 0) >= 2);
}

/** Whether a node that its Pod could go to is cordoned, in the words of the scheduler. */
export function isInMaintenance({ pod }: MemberView): boolean {
  return pod?.unschedulable?.includes("node(s) were unschedulable") === true;
}

/** Whether its disk, and with it what it acknowledged, is gone. */
export function hasLostVolume(view: MemberView): boolean {
  const hasStarted = view.entry !== undefined && view.entry.name !== "";
  if (!hasStarted || view.member === undefined) return false;
  return (
    view.volume === undefined || view.volume.isTerminating || view.volume.isLost || view.volume.isQuarantined
  );
}

function votesWithout(view: View, of: MemberView): Votes {
  return {
    voters: view.voters.length,
    healthyOthers: view.members.filter((one) => one.name !== of.name && isHealthyVoter(one)).length,
  };
}

/** Whether the cluster stays writable while this member is down. */
export function mayRestart(view: View, of: MemberView): boolean {
  if (!view.hasQuorum) return false;
  const isVoter = of.entry !== undefined && !of.entry.isLearner;
  return !isVoter || canRestart(votesWithout(view, of));
}

/** Whether the cluster stays writable without this member. */
export function mayRemove(view: View, of: MemberView): boolean {
  if (!view.hasQuorum) return false;
  const isVoter = of.entry !== undefined && !of.entry.isLearner;
  return !isVoter || canRemove(votesWithout(view, of));
}

/** Healthy voters, how many are needed, and how many more may fail. */
export function quorumText(view: View): string {
  const needed = quorumOf(view.voters.length);
  const tolerance = Math.max(0, view.healthyVoters - needed);
  return `${view.healthyVoters}/${needed} (+${tolerance})`;
}

export function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
