// Which certificates have to be made, renewed or replaced. Secrets come before the Pods that mount them; what is
// there is never overwritten unless its time has come, and a Secret that cannot be used is reported and left alone.
// Tested by tables (certificates.test.ts) and by lives in the small world (reconcile/certificates.test.ts).
import { annotations } from "../api/group.ts";
import type { PlaneStatus } from "../api/tls-status.ts";
import { secondTime } from "../lib/time.ts";
import { noteOf, type SecretFact } from "../model/certificates.ts";
import type { Plane } from "../model/names.ts";
import type { Cluster } from "../model/objects.ts";
import type { Observation } from "../model/observation.ts";
import {
  authoritySecretNameOf,
  clientSecretNameOf,
  hasTls,
  isAuto,
  memberHostsOf,
  memberSecretNameOf,
  operatorSecretNameOf,
  planes,
} from "../model/tls-names.ts";
import { act, type Step } from "./decision.ts";

const dayMs = 24 * 3_600_000;
/** Renewed long before, so that an operator that is away for weeks does no harm. */
export const certificateValidityMs = 90 * dayMs;
export const authorityValidityMs = 3_650 * dayMs;
/** Kubelets bring a changed Secret into Pods within about two of their sync periods, a minute each by default. */
const settleMs = 5 * 60_000;
const hourMs = 3_600_000;

/** A certificate that the operator makes: whom it is for, and its Secret as far as it is there. */
interface Leaf {
  readonly plane: Plane;
  readonly name: string;
  /** The member that it belongs to and goes with; undefined for the cluster's. */
  readonly member?: string;
  readonly commonName: string;
  readonly hosts: readonly string[];
  readonly fact: SecretFact | undefined;
}

function leavesOf(observation: Observation, plane: Plane): readonly Leaf[] {
  const { cluster, members } = observation;
  const ofMembers = members.map(({ metadata: { name } }) => ({
    name: memberSecretNameOf(cluster, plane, name),
    member: name,
    commonName: name,
    hosts: memberHostsOf(cluster, plane, name),
  }));
  const ofClients = [
    { name: operatorSecretNameOf(cluster), commonName: "etcdlike-operator", hosts: [] },
    { name: clientSecretNameOf(cluster), commonName: `${cluster.metadata.name}-client`, hosts: [] },
  ];
  return [...(plane === "client" ? ofClients : []), ...ofMembers].map((one) => ({
    ...one,
    plane,
    fact: factOf(observation, one.name),
  }));
}

function factOf({ secrets }: Observation, name: string): SecretFact | undefined {
  return secrets.find((one) => one.name === name);
}

/** The next certificate to be made or renewed; undefined when all are as they should be, or cannot be. */
export function stepToCertificates(observation: Observation): Step | undefined {
  const { cluster } = observation;
  for (const plane of planes) {
    if (!isAuto(cluster, plane)) continue;
    const leaves = leavesOf(observation, plane);
    const authority = factOf(observation, authoritySecretNameOf(cluster, plane));
    if (authority === undefined) {
      // Another one would not be trusted by those who hold certificates of the one that is gone.
      if (leaves.some((one) => one.fact !== undefined)) continue;
      const why = `the ${plane} side has no certificate authority`;
      return act({ kind: "CreateAuthority", plane, ...requestOf(cluster, "rotateAuthorities"), why });
    }
    if (authority.problem !== undefined) continue;
    const step = stepToLeaves(observation, authority, leaves) ?? stepToRotate(observation, plane, authority);
    if (step !== undefined) return step;
  }
  return undefined;
}

function stepToLeaves(
  observation: Observation,
  authority: SecretFact,
  leaves: readonly Leaf[],
): Step | undefined {
  for (const leaf of leaves) {
    const { plane, name, fact } = leaf;
    if (fact?.problem !== undefined) continue;
    const why = reasonToIssue(observation, authority, leaf);
    if (why !== undefined) {
      return act({
        kind: "IssueCertificate",
        plane,
        name,
        commonName: leaf.commonName,
        hosts: leaf.hosts,
        ...(leaf.member === undefined ? {} : { member: leaf.member }),
        ...requestOf(observation.cluster, "rotateCertificates"),
        ...(fact === undefined ? {} : { resourceVersion: fact.resourceVersion }),
        why: `${name}: ${why}`,
      });
    }
    if (fact !== undefined && fact.trusted.join() !== authority.trusted.join()) {
      const { resourceVersion } = fact;
      return act({ kind: "UpdateTrust", plane, name, resourceVersion, why: `${name}: ca.crt has changed` });
    }
  }
  return undefined;
}

function reasonToIssue(
  { cluster, nowMs }: Observation,
  authority: SecretFact,
  { fact, hosts }: Leaf,
): string | undefined {
  if (fact?.certificate === undefined) return "there is no certificate";
  if (fact.notes.hosts !== noteOf(hosts.join())) return "its names have changed";
  if (isAskedFor(cluster, "rotateCertificates", fact)) return "a rotation was asked for";
  if (authority.certificate === undefined) return undefined;
  if (fact.signer !== authority.certificate.fingerprint) return "the certificate authority is another";
  const { notAfterMs } = fact.certificate;
  const isNear = notAfterMs - nowMs <= cluster.spec.tls.rotation.renewBeforeSeconds * 1_000;
  // No certificate outlives its authority.
  const wouldLast = Math.min(nowMs + certificateValidityMs, authority.certificate.notAfterMs);
  return isNear && wouldLast - notAfterMs > hourMs ? `it ends at ${secondTime(notAfterMs)}` : undefined;
}

/** All certificates fit to the authority as it is: whether it goes on to its next phase. */
function stepToRotate(observation: Observation, plane: Plane, authority: SecretFact): Step | undefined {
  const { cluster, nowMs } = observation;
  const { resourceVersion } = authority;
  if (phaseOf(authority) === "Steady") {
    const leftMs = (authority.certificate?.notAfterMs ?? 0) - nowMs;
    const isAsked = isAskedFor(cluster, "rotateAuthorities", authority);
    if (!isAsked && leftMs > certificateValidityMs + 4 * overlapMsOf(cluster, plane)) return undefined;
    const why = `the ${plane} side gets another certificate authority: ${isAsked ? "it was asked for" : "the one there ends"}`;
    const request = requestOf(cluster, "rotateAuthorities");
    return act({ kind: "RotateAuthority", plane, to: "Introducing", resourceVersion, ...request, why });
  }
  // What a member holds whose Secret is broken is not known.
  if (leavesOf(observation, plane).some((one) => one.fact?.problem !== undefined)) return undefined;
  if (nowMs < phaseEndMsOf(observation, plane, authority)) return undefined;
  return phaseOf(authority) === "Introducing"
    ? act({
        kind: "RotateAuthority",
        plane,
        to: "Retiring",
        resourceVersion,
        why: `the new certificate authority of the ${plane} side is known to all`,
      })
    : act({
        kind: "RotateAuthority",
        plane,
        to: "Steady",
        resourceVersion,
        why: `nobody needs the old certificate authority of the ${plane} side any more`,
      });
}

function phaseOf(authority: SecretFact) {
  return authority.notes.phase ?? "Steady";
}

/** When everybody has had time for the phase: members read their files, clients are given what spec says. */
function phaseEndMsOf(observation: Observation, plane: Plane, authority: SecretFact): number {
  const written = leavesOf(observation, plane).map((one) => one.fact?.notes.writtenAtMs ?? 0);
  const begunMs = authority.notes.writtenAtMs ?? 0;
  return Math.max(
    begunMs + overlapMsOf(observation.cluster, plane),
    Math.max(begunMs, ...written) + settleMs,
  );
}

function overlapMsOf(cluster: Cluster, plane: Plane): number {
  return plane === "peer" ? settleMs : Math.max(settleMs, cluster.spec.tls.rotation.caOverlapSeconds * 1_000);
}

type Request = "rotateCertificates" | "rotateAuthorities";

function requestOf(cluster: Cluster, what: Request): { readonly request?: string } {
  const value = cluster.metadata.annotations?.[annotations[what]];
  return value === undefined ? {} : { request: noteOf(value) };
}

function isAskedFor(cluster: Cluster, what: Request, { notes }: SecretFact): boolean {
  const { request } = requestOf(cluster, what);
  return request !== undefined && request !== notes.request;
}

/** Why a member cannot be started: what its Pod mounts is not there, or would end it at once. */
export function problemToStart(observation: Observation, member: string): string | undefined {
  const { cluster } = observation;
  for (const plane of planes) {
    if (!hasTls(cluster, plane)) continue;
    const name = memberSecretNameOf(cluster, plane, member);
    const fact = factOf(observation, name);
    if (fact === undefined) return `Secret ${name} is not there`;
    if (fact.problem !== undefined) return `Secret ${name}: ${fact.problem}`;
  }
  return undefined;
}

export interface CertificatesReport {
  /** Undefined while no side has TLS. */
  readonly certificates: readonly PlaneStatus[] | undefined;
  /** What somebody has to do something about. */
  readonly problems: readonly string[];
  /** Whether all that are wanted are there. */
  readonly isComplete: boolean;
}

export function certificatesReportOf(observation: Observation): CertificatesReport {
  const { cluster } = observation;
  const reports = planes
    .filter((plane) => hasTls(cluster, plane))
    .map((plane) => reportOf(observation, plane));
  return {
    certificates: reports.length === 0 ? undefined : reports.map(({ status }) => status),
    problems: reports.flatMap(({ problems }) => problems),
    isComplete: reports.every(({ isComplete }) => isComplete),
  };
}

function reportOf(observation: Observation, plane: Plane) {
  const { cluster } = observation;
  const isMade = isAuto(cluster, plane);
  const name = authoritySecretNameOf(cluster, plane);
  const authority = isMade ? factOf(observation, name) : undefined;
  const given = cluster.spec.tls[plane].secretName ?? "";
  const leaves: readonly Pick<Leaf, "name" | "fact">[] = isMade
    ? leavesOf(observation, plane)
    : [{ name: given, fact: factOf(observation, given) }];
  const facts = leaves.flatMap(({ fact }) => (fact === undefined ? [] : [fact]));
  const problems = [
    ...(isMade && authority === undefined && facts.length > 0
      ? [`Secret ${name} is gone, and with it the key of the certificate authority`]
      : []),
    ...(authority?.problem === undefined ? [] : [`Secret ${name}: ${authority.problem}`]),
    ...(isMade || facts.length > 0 ? [] : [`Secret ${given} is not there`]),
    ...facts.flatMap((fact) => problemOf(fact, observation.nowMs)),
  ];
  const ends = facts.flatMap(({ certificate }) =>
    certificate === undefined ? [] : [certificate.notAfterMs],
  );
  const phase = authority === undefined ? undefined : phaseOf(authority);
  const isRotating = authority !== undefined && phase !== "Steady";
  const message =
    problems[0] ??
    (isRotating ? `until ${secondTime(phaseEndMsOf(observation, plane, authority))} at least` : undefined);
  const status: PlaneStatus = {
    plane: plane === "peer" ? "Peer" : "Client",
    source: cluster.spec.tls[plane].source,
    ...(ends.length === 0 ? {} : { expiresAt: secondTime(Math.min(...ends)) }),
    ...(authority?.certificate === undefined
      ? {}
      : { authorityExpiresAt: secondTime(authority.certificate.notAfterMs) }),
    ...(phase === undefined ? {} : { authorityPhase: phase }),
    ...(isRotating && authority.notes.writtenAtMs !== undefined
      ? { phaseSince: secondTime(authority.notes.writtenAtMs) }
      : {}),
    ...(message === undefined ? {} : { message: message.slice(0, 1_024) }),
  };
  return { status, problems, isComplete: leaves.every(({ fact }) => fact !== undefined) };
}

/** A renewal that comes so late fails, or is somebody else's to do. */
function problemOf({ name, problem, certificate }: SecretFact, nowMs: number): readonly string[] {
  if (problem !== undefined) return [`Secret ${name}: ${problem}`];
  if (certificate === undefined) return [];
  const { notBeforeMs, notAfterMs } = certificate;
  const lateMs = Math.min(3 * dayMs, (notAfterMs - notBeforeMs) / 10);
  if (nowMs >= notAfterMs) return [`Secret ${name}: the certificate ended at ${secondTime(notAfterMs)}`];
  if (nowMs >= notAfterMs - lateMs) {
    return [`Secret ${name}: the certificate ends at ${secondTime(notAfterMs)} and is not renewed`];
  }
  return [];
}
