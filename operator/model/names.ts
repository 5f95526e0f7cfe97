// Names that follow from others. A member, its EtcdLikeMember and its Pod share one name; it is never given out
// twice, so that nothing of a lost member can be taken for its successor.
import type { Cluster } from "./objects.ts";
import type { RosterEntry } from "./observation.ts";

export const clientPort = 2379;
export const peerPort = 2380;
/** Health and metrics, always in clear text: neither kubelets nor Prometheus have a certificate. */
export const metricsPort = 2381;

export function peerServiceName(cluster: Cluster): string {
  return `${cluster.metadata.name}-peer`;
}

export function clientServiceName(cluster: Cluster): string {
  return `${cluster.metadata.name}-client`;
}

export function volumeNameOf(member: string): string {
  return `data-${member}`;
}

/** Peer URLs are names, never addresses: a Pod that moves keeps its identity. */
export function peerUrlOf(cluster: Cluster, member: string): string {
  return `${schemeOf(cluster, "peer")}://${hostOf(cluster, member)}:${peerPort}`;
}

export function clientUrlOf(cluster: Cluster, member: string): string {
  return `${schemeOf(cluster, "client")}://${hostOf(cluster, member)}:${clientPort}`;
}

/** The two sides of a member: what other members connect to, and what clients do. */
export type Plane = "peer" | "client";

export function schemeOf(cluster: Cluster, plane: Plane): "http" | "https" {
  return cluster.spec.tls[plane].mode === "None" ? "http" : "https";
}

/** The member that a peer URL of this cluster belongs to; undefined for a URL of another form. */
export function memberOfPeerUrl(cluster: Cluster, peerUrl: string): string | undefined {
  const host = /^https?:\/\/([^/:]+):\d+$/.exec(peerUrl)?.[1];
  const suffix = `.${peerServiceName(cluster)}.${cluster.metadata.namespace}.svc`;
  return host?.endsWith(suffix) === true ? host.slice(0, -suffix.length) : undefined;
}

/** Its name in the namespace of names; certificates carry it. */
export function hostOf(cluster: Cluster, member: string): string {
  return `${member}.${peerServiceName(cluster)}.${cluster.metadata.namespace}.svc`;
}

/** Of a cluster of the same name that is made later, too, it differs. */
export function clusterTokenOf(cluster: Cluster): string {
  return `${cluster.metadata.namespace}-${cluster.metadata.name}-${cluster.metadata.uid}`;
}

// No vowels, so that no words come out, and nothing that looks like something else.
const alphabet = "bcdfghjkmnpqrstvwxz2456789";
const incarnationLength = 4;

/** CLUSTER-SLOT-XXXX: the last part differs for every number ever given out, and between clusters. */
export function memberNameOf(cluster: Cluster, slot: number, incarnation: number): string {
  let hash = fnv1a(`${cluster.metadata.uid}/${incarnation}`);
  let text = "";
  for (let i = 0; i < incarnationLength; i++) {
    text += alphabet.charAt(hash % alphabet.length);
    hash = Math.floor(hash / alphabet.length);
  }
  return `${cluster.metadata.name}-${slot}-${text}`;
}

/** FNV-1a, 32 bits. */
export function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) {
    hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193) >>> 0;
  }
  return hash;
}

/** NAME=URL pairs of all members, by name; an entry that has not started is known by its peer URL. */
export function initialClusterOf(cluster: Cluster, entries: readonly RosterEntry[]): string {
  return entries
    .map(({ id, name, peerUrl }) => {
      const known = name === "" ? (memberOfPeerUrl(cluster, peerUrl) ?? `id-${id}`) : name;
      return `${known}=${peerUrl}`;
    })
    .sort()
    .join(",");
}
