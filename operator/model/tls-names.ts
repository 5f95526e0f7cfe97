// Names of the Secrets that hold certificates. All have tls.crt, tls.key and ca.crt, as cert-manager writes them.
import { clientServiceName, hostOf, type Plane, peerServiceName, schemeOf } from "./names.ts";
import type { Cluster } from "./objects.ts";

export const planes = ["peer", "client"] as const satisfies readonly Plane[];

export function hasTls(cluster: Cluster, plane: Plane): boolean {
  return schemeOf(cluster, plane) === "https";
}

/** Whether the operator makes the certificates of this side. */
export function isAuto(cluster: Cluster, plane: Plane): boolean {
  return hasTls(cluster, plane) && cluster.spec.tls[plane].source === "Auto";
}

/** With the key of the certificate authority: nobody but the operator needs it. */
export function authoritySecretNameOf(cluster: Cluster, plane: Plane): string {
  return `${cluster.metadata.name}-${plane}-ca`;
}

/** What a member mounts. */
export function memberSecretNameOf(cluster: Cluster, plane: Plane, member: string): string {
  return cluster.spec.tls[plane].secretName ?? `${member}-${plane}-tls`;
}

/** What the operator shows to members. */
export function operatorSecretNameOf(cluster: Cluster): string {
  return cluster.spec.tls.client.secretName ?? `${cluster.metadata.name}-operator-tls`;
}

/** What clients mount. */
export function clientSecretNameOf(cluster: Cluster): string {
  return cluster.spec.tls.client.secretName ?? `${cluster.metadata.name}-client-tls`;
}

/** In every peer certificate, so that a certificate authority shared with others lets nobody else in. */
export function peerNameOf(cluster: Cluster): string {
  return `${peerServiceName(cluster)}.${cluster.metadata.namespace}.svc`;
}

const clusterDomain = "cluster.local";

/** Names in a member's certificate; never the Pod's address, which changes. */
export function memberHostsOf(cluster: Cluster, plane: Plane, member: string): readonly string[] {
  const own = hostOf(cluster, member);
  const local = ["localhost", "127.0.0.1", "::1"];
  if (plane === "peer") return [own, `${own}.${clusterDomain}`, peerNameOf(cluster), ...local];
  const service = clientServiceName(cluster);
  const { namespace } = cluster.metadata;
  return [
    own,
    `${own}.${clusterDomain}`,
    peerNameOf(cluster),
    `${peerNameOf(cluster)}.${clusterDomain}`,
    service,
    `${service}.${namespace}`,
    `${service}.${namespace}.svc`,
    `${service}.${namespace}.svc.${clusterDomain}`,
    ...local,
    ...(cluster.spec.tls.client.hosts ?? []),
  ];
}
