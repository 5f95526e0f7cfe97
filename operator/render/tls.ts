// What TLS adds to a member's Pod: the Secrets it mounts and the flags that name the files. The member reads files
// anew when they change, so what is in a Secret is no part of the Pod.
import type { Json } from "../api/schema.ts";
import type { Plane } from "../model/names.ts";
import type { Cluster } from "../model/objects.ts";
import { hasTls, memberSecretNameOf, peerNameOf, planes } from "../model/tls-names.ts";

type JsonObject = { readonly [key: string]: Json };

const folderOf = (plane: Plane) => `/etc/etcdlike/${plane}`;
/** Readable by the member's group, which fsGroup gives to the files. */
const fileMode = 0o440;

export function tlsVolumesOf(cluster: Cluster, member: string): readonly JsonObject[] {
  return planesOf(cluster).map((plane) => ({
    name: `${plane}-tls`,
    secret: { secretName: memberSecretNameOf(cluster, plane, member), defaultMode: fileMode },
  }));
}

export function tlsMountsOf(cluster: Cluster): readonly JsonObject[] {
  return planesOf(cluster).map((plane) => ({
    name: `${plane}-tls`,
    mountPath: folderOf(plane),
    readOnly: true,
  }));
}

/** Pairs of flag and value. */
export function tlsFlagsOf(cluster: Cluster): readonly (readonly [string, string])[] {
  const file = (plane: Plane, name: string) => `${folderOf(plane)}/${name}`;
  const peer = [
    ["peer-cert-file", file("peer", "tls.crt")],
    ["peer-key-file", file("peer", "tls.key")],
    ["peer-trusted-ca-file", file("peer", "ca.crt")],
    ["peer-client-cert-auth", "true"],
    ["peer-cert-allowed-hostname", peerNameOf(cluster)],
    // etcd otherwise looks the names of a certificate up, and refuses a member that moved until DNS has caught up.
    ["peer-skip-client-san-verification", "true"],
  ] as const;
  const client = [
    ["cert-file", file("client", "tls.crt")],
    ["key-file", file("client", "tls.key")],
  ] as const;
  // A CA alone would already demand certificates.
  const mutual = [
    ["trusted-ca-file", file("client", "ca.crt")],
    ["client-cert-auth", "true"],
  ] as const;
  return [
    ...(hasTls(cluster, "peer") ? peer : []),
    ...(hasTls(cluster, "client") ? client : []),
    ...(cluster.spec.tls.client.mode === "Mutual" ? mutual : []),
  ];
}

function planesOf(cluster: Cluster): readonly Plane[] {
  return planes.filter((plane) => hasTls(cluster, plane));
}
