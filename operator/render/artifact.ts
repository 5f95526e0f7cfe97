// How a Pod reaches an artifact: what the agent is told, and the Secrets and volumes behind it.
import type { ArtifactSource, Destination } from "../api/artifact.ts";
import type { Json } from "../api/schema.ts";
import type { Snapshot } from "../model/snapshot-objects.ts";

type JsonObject = { readonly [key: string]: Json };

/** Parts of a Pod. */
export interface Access {
  /** The location and the options that go with it. */
  readonly args: readonly string[];
  readonly env: readonly JsonObject[];
  readonly volumes: readonly JsonObject[];
  readonly mounts: readonly JsonObject[];
}

const volumeFolder = "/artifacts";
const caFolder = "/etc/etcdlike/s3-ca";

/** The snapshot's own name in its destination; no other object ever has it. */
function pathOf({ metadata, spec }: Snapshot): string {
  return `${spec.clusterRef.name}/${metadata.name}-${metadata.uid}.db`;
}

export function uriOf(snapshot: Snapshot): string {
  const { s3, pvc } = sourceOf(snapshot);
  return s3 === undefined ? `pvc://${pvc?.claimName}/${pvc?.path}` : `s3://${s3.bucket}/${s3.key}`;
}

/** The file that a snapshot is kept as. */
export function sourceOf(snapshot: Snapshot): ArtifactSource {
  const { s3, pvc }: Destination = snapshot.spec.destination;
  const sha256 = snapshot.status?.artifact?.sha256;
  const known = sha256 === undefined ? {} : { sha256 };
  const below = (folder: string | undefined) =>
    folder === undefined ? pathOf(snapshot) : `${folder}/${pathOf(snapshot)}`;
  if (s3 !== undefined) {
    const { prefix, ...server } = s3;
    return { s3: { ...server, key: below(prefix) }, ...known };
  }
  return { pvc: { claimName: pvc?.claimName ?? "", path: below(pvc?.subPath) }, ...known };
}

export function accessTo({ s3, pvc }: ArtifactSource, options: { readonly isReadOnly: boolean }): Access {
  if (s3 === undefined) {
    const { claimName, path } = pvc ?? { claimName: "", path: "" };
    const { isReadOnly } = options;
    return {
      args: [`${volumeFolder}/${path}`],
      env: [],
      volumes: [{ name: "artifacts", persistentVolumeClaim: { claimName } }],
      mounts: [{ name: "artifacts", mountPath: volumeFolder, readOnly: isReadOnly }],
    };
  }
  const { bucket, key, endpoint, region, forcePathStyle, credentialsSecretRef, caSecretRef } = s3;
  const fromSecret = (name: string) => ({
    name,
    valueFrom: { secretKeyRef: { name: credentialsSecretRef.name, key: name } },
  });
  return {
    args: [
      `s3://${bucket}/${key}`,
      `--s3-region=${region}`,
      ...(endpoint === undefined ? [] : [`--s3-endpoint=${endpoint}`]),
      ...(forcePathStyle ? ["--s3-path-style"] : []),
    ],
    env: [
      fromSecret("AWS_ACCESS_KEY_ID"),
      fromSecret("AWS_SECRET_ACCESS_KEY"),
      ...(caSecretRef === undefined ? [] : [{ name: "NODE_EXTRA_CA_CERTS", value: `${caFolder}/ca.crt` }]),
    ],
    volumes: caSecretRef === undefined ? [] : [{ name: "s3-ca", secret: { secretName: caSecretRef.name } }],
    mounts: caSecretRef === undefined ? [] : [{ name: "s3-ca", mountPath: caFolder, readOnly: true }],
  };
}
