// The Job that works on an artifact: one Pod under the restricted security standard, with no rights in the cluster. The
// operator itself moves none of the bytes.
import type { ArtifactSource } from "../api/artifact.ts";
import { annotations, apiVersion, labels } from "../api/group.ts";
import type { Json } from "../api/schema.ts";
import { fnv1a } from "../model/names.ts";
import type { Cluster } from "../model/objects.ts";
import type { Settings } from "../model/observation.ts";
import type { Snapshot, StoredMeta, Task } from "../model/snapshot-objects.ts";
import { accessTo } from "./artifact.ts";
import { imageOf } from "./image.ts";
import { restrictedContainer, restrictedPod } from "./restricted.ts";

type JsonObject = { readonly [key: string]: Json };

export interface AgentJob {
  readonly name: string;
  readonly task: Task;
  /** The snapshot or the restore that it works for, and goes with. */
  readonly owner: { readonly kind: string; readonly metadata: StoredMeta };
  readonly source: ArtifactSource;
  /** Of its content, as it was found when it was written. */
  readonly known: { readonly revision?: number; readonly hash?: number };
  readonly activeDeadlineSeconds: number;
  /** Undefined when it is gone; a snapshot is only taken of one that is there. */
  readonly cluster: Cluster | undefined;
  /** Client URLs of members that are asked. */
  readonly endpoints: readonly string[];
  /** The Secret with tls.crt, tls.key and ca.crt for them; undefined without TLS. */
  readonly tlsSecret: string | undefined;
  readonly settings: Settings;
}

const scratchFolder = "/scratch";
const tlsFolder = "/etc/etcdlike/client-tls";
const retriesMax = 3;
/** The operator reads the result within moments. */
const keptSeconds = 3_600;

/** Known beforehand, so that a Job whose creation was not confirmed is not made twice. */
export function jobNameOf(snapshot: Snapshot, task: Task): string {
  const { name } = snapshot.metadata;
  if (task === "Take") return `${name}-take`;
  if (task === "Delete") return `${name}-delete`;
  return `${name}-v${fnv1a(verifyRequestOf(snapshot) ?? "").toString(36)}`;
}

export function restoreJobNameOf(restore: string): string {
  return `${restore}-verify`;
}

/** What the user last asked to have verified again. */
export function verifyRequestOf({ metadata }: Snapshot): string | undefined {
  return metadata.annotations?.[annotations.verify]?.slice(0, 253);
}

export function agentJobOf(job: AgentJob): JsonObject {
  const { owner, cluster } = job;
  const { name, namespace, uid } = owner.metadata;
  const own = {
    "app.kubernetes.io/name": "etcdlike",
    "app.kubernetes.io/component": "snapshot",
    "app.kubernetes.io/managed-by": "etcdlike-operator",
    [labels.snapshot]: name,
  };
  return {
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: {
      name: job.name,
      namespace,
      labels: own,
      ownerReferences: [{ apiVersion, kind: owner.kind, name, uid, controller: true }],
    },
    spec: {
      backoffLimit: retriesMax,
      activeDeadlineSeconds: job.activeDeadlineSeconds,
      ttlSecondsAfterFinished: keptSeconds,
      template: {
        metadata: {
          labels: own,
          // Where nothing runs but this, its node may go.
          annotations: { "cluster-autoscaler.kubernetes.io/safe-to-evict": "false" },
        },
        spec: podSpecOf(job, cluster),
      },
    },
  };
}

function podSpecOf(job: AgentJob, cluster: Cluster | undefined): JsonObject {
  const { task, source, settings, tlsSecret } = job;
  const access = accessTo(source, { isReadOnly: task === "Verify" });
  // Only one that asks members needs a certificate.
  const isTls = tlsSecret !== undefined && task === "Take";
  const { template, image } = cluster?.spec ?? {};
  return {
    restartPolicy: "Never",
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    securityContext: restrictedPod,
    ...(image?.pullSecrets === undefined
      ? {}
      : { imagePullSecrets: image.pullSecrets.map((secret) => ({ name: secret })) }),
    ...(template?.nodeSelector === undefined ? {} : { nodeSelector: template.nodeSelector }),
    ...(template?.tolerations === undefined ? {} : { tolerations: template.tolerations }),
    containers: [
      {
        name: "agent",
        image: imageOf(cluster, settings),
        imagePullPolicy: image?.pullPolicy ?? "IfNotPresent",
        args: ["snapshot", ...argsOf(job, access.args)],
        env: [{ name: "AWS_EC2_METADATA_DISABLED", value: "true" }, ...access.env],
        securityContext: restrictedContainer,
        volumeMounts: [
          { name: "scratch", mountPath: scratchFolder },
          { name: "tmp", mountPath: "/tmp" },
          ...access.mounts,
          ...(isTls ? [{ name: "client-tls", mountPath: tlsFolder, readOnly: true }] : []),
        ],
      },
    ],
    volumes: [
      { name: "scratch", emptyDir: {} },
      { name: "tmp", emptyDir: { sizeLimit: "64Mi" } },
      ...access.volumes,
      ...(isTls ? [{ name: "client-tls", secret: { secretName: tlsSecret } }] : []),
    ],
  };
}

function argsOf(job: AgentJob, location: readonly string[]): readonly string[] {
  const { task, source, known, endpoints, tlsSecret } = job;
  const scratch = `--scratch-dir=${scratchFolder}`;
  switch (task) {
    case "Take":
      return ["upload", ...location, scratch, `--endpoints=${endpoints.join(",")}`, ...tlsArgs(tlsSecret)];
    case "Verify": {
      const flags = [
        ["sha256", source.sha256],
        ["revision", known.revision],
        ["hash", known.hash],
      ].flatMap(([flag, value]) => (value === undefined ? [] : [`--${flag}=${value}`]));
      return ["verify", ...location, scratch, ...flags];
    }
    case "Delete":
      return ["delete", ...location];
  }
}

function tlsArgs(secret: string | undefined): readonly string[] {
  if (secret === undefined) return [];
  return [
    `--trusted-ca-file=${tlsFolder}/ca.crt`,
    `--cert-file=${tlsFolder}/tls.crt`,
    `--key-file=${tlsFolder}/tls.key`,
  ];
}
