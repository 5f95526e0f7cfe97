// The Pod of a member. What decides its bytes is spec and the member's identity, never the operator's version:
// another operator must not restart members. The hash of that part is what an update goes by.
import { createHash } from "node:crypto";
import type { RestoreOrigin } from "../api/artifact.ts";
import { annotations, apiVersion, labels, resources } from "../api/group.ts";
import type { Json } from "../api/schema.ts";
import { must } from "../lib/assert.ts";
import { canonical } from "../lib/canonical.ts";
import {
  clientPort,
  clientUrlOf,
  initialClusterOf,
  metricsPort,
  peerPort,
  peerServiceName,
  peerUrlOf,
  schemeOf,
} from "../model/names.ts";
import type { Member } from "../model/objects.ts";
import type { Observation } from "../model/observation.ts";
import { type Access, accessTo } from "./artifact.ts";
import { imageOf } from "./image.ts";
import { restrictedContainer, restrictedPod } from "./restricted.ts";
import { tlsFlagsOf, tlsMountsOf, tlsVolumesOf } from "./tls.ts";

type JsonObject = { readonly [key: string]: Json };

const dataFolder = "/var/lib/etcdlike";

export function podOf(
  observation: Observation,
  name: string,
  initialClusterState: "new" | "existing",
): JsonObject {
  const { cluster } = observation;
  const member = must(
    observation.members.find((one) => one.metadata.name === name),
    "a Pod is made for a member that exists",
    { name },
  );
  const marks = marksOf(cluster);
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name,
      namespace: cluster.metadata.namespace,
      labels: {
        ...marks.labels,
        ...podLabels(cluster.metadata.name, name),
        [labels.slot]: String(member.spec.slot),
      },
      annotations: {
        // The autoscaler otherwise never removes a node with a bare Pod; the disruption budget guards the quorum.
        "cluster-autoscaler.kubernetes.io/safe-to-evict": "true",
        ...marks.annotations,
        [annotations.templateHash]: templateHashOf(observation, name),
        [annotations.initialCluster]: initialClusterFor(observation, member, initialClusterState),
        [annotations.initialClusterState]: initialClusterState,
      },
      ownerReferences: [
        {
          apiVersion,
          kind: resources.member.kind,
          name,
          uid: must(member.metadata.uid, "a stored object has a uid"),
          controller: true,
        },
      ],
    },
    spec: withRestore(podSpecOf(observation, member), observation, member, initialClusterState),
  };
}

/** Before a first member that begins with a snapshot. It is not part of the hash: no update takes it away. */
function withRestore(
  spec: JsonObject,
  { cluster, settings }: Observation,
  { metadata, spec: { restoreFrom, clusterToken } }: Member,
  initialClusterState: "new" | "existing",
): JsonObject {
  if (restoreFrom === undefined || initialClusterState === "existing") return spec;
  const { name } = metadata;
  const access = accessToOrigin(restoreFrom);
  const container = {
    name: "restore",
    image: imageOf(cluster, settings),
    imagePullPolicy: cluster.spec.image.pullPolicy,
    args: [
      ...["snapshot", ...access.args, `--name=${name}`, `--data-dir=${dataFolder}/data`],
      `--initial-advertise-peer-urls=${peerUrlOf(cluster, name)}`,
      `--initial-cluster-token=${clusterToken}`,
      // Read at each start: once the cluster is formed, an empty disk is a lost one.
      "--initial-cluster-state=$(ETCD_INITIAL_CLUSTER_STATE)",
      `--bump-revision=${restoreFrom.bumpRevision}`,
    ],
    env: [
      fromAnnotation("ETCD_INITIAL_CLUSTER_STATE", annotations.initialClusterState),
      { name: "AWS_EC2_METADATA_DISABLED", value: "true" },
      ...access.env,
    ],
    securityContext: restrictedContainer,
    volumeMounts: [
      { name: "data", mountPath: dataFolder },
      { name: "tmp", mountPath: "/tmp" },
      ...access.mounts,
    ],
  };
  const volumes = [...(spec["volumes"] as readonly JsonObject[]), ...access.volumes];
  return { ...spec, initContainers: [container], volumes };
}

const survivorFolder = "/survivor";

/** The command and what it needs. */
function accessToOrigin({ source, survivor }: RestoreOrigin): Access {
  if (source !== undefined) {
    const access = accessTo(source, { isReadOnly: true });
    const known = source.sha256 === undefined ? [] : [`--sha256=${source.sha256}`];
    return { ...access, args: ["bootstrap", ...access.args, ...known] };
  }
  const { volumeName } = must(survivor, "data begins with a snapshot or a member of before");
  return {
    args: ["salvage", `${survivorFolder}/data`],
    env: [],
    volumes: [{ name: "survivor", persistentVolumeClaim: { claimName: volumeName } }],
    mounts: [{ name: "survivor", mountPath: survivorFolder, readOnly: true }],
  };
}

/** Of now if it is known: a member whose disk was emptied has to ask the others what became of it. */
function initialClusterFor(
  { cluster, roster }: Observation,
  { spec }: Member,
  initialClusterState: "new" | "existing",
): string {
  if (initialClusterState === "existing" && roster !== undefined)
    return initialClusterOf(cluster, roster.members);
  return must(spec.initialCluster, "a Pod waits for initialCluster");
}

/** Of everything in the Pod that an update brings in. */
export function templateHashOf(observation: Observation, name: string): string {
  const member = observation.members.find((one) => one.metadata.name === name);
  if (member === undefined) return "";
  const text = canonical({ spec: podSpecOf(observation, member), ...marksOf(observation.cluster) });
  return createHash("sha256").update(text).digest("hex").slice(0, 16);
}

/** What spec puts on Pods: the template's own, and how metrics are found. */
function marksOf({ spec: { template, monitoring } }: Observation["cluster"]): {
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
} {
  const { labels: own = {}, annotations: notes = {} } = template;
  if (monitoring.scrape === "PodMonitor") return { labels: own, annotations: notes };
  const scrape = {
    "prometheus.io/scrape": "true",
    "prometheus.io/scheme": "http",
    "prometheus.io/port": String(metricsPort),
    "prometheus.io/path": "/metrics",
  };
  return {
    labels: { ...own, [labels.scrape]: "false" },
    annotations: monitoring.scrape === "Annotations" ? { ...scrape, ...notes } : notes,
  };
}

export function podLabels(cluster: string, member: string): Record<string, string> {
  return {
    "app.kubernetes.io/name": "etcdlike",
    "app.kubernetes.io/instance": cluster,
    "app.kubernetes.io/managed-by": "etcdlike-operator",
    [labels.cluster]: cluster,
    [labels.member]: member,
  };
}

function podSpecOf({ cluster, settings }: Observation, member: Member): JsonObject {
  const { spec } = cluster;
  const { template, image } = spec;
  const name = member.metadata.name;
  return {
    hostname: name,
    subdomain: peerServiceName(cluster),
    restartPolicy: "Always",
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    terminationGracePeriodSeconds: template.terminationGracePeriodSeconds,
    securityContext: restrictedPod,
    ...(image.pullSecrets === undefined
      ? {}
      : { imagePullSecrets: image.pullSecrets.map((secret) => ({ name: secret })) }),
    ...(template.nodeSelector === undefined ? {} : { nodeSelector: template.nodeSelector }),
    ...(template.tolerations === undefined ? {} : { tolerations: template.tolerations }),
    ...(template.affinity === undefined ? {} : { affinity: template.affinity }),
    ...(template.priorityClassName === undefined ? {} : { priorityClassName: template.priorityClassName }),
    ...spreadOf(cluster.metadata.name, spec.spread),
    containers: [
      {
        name: "etcdlike",
        image: imageOf(cluster, settings),
        imagePullPolicy: image.pullPolicy,
        args: argsOf(cluster, member),
        // Read at every start of the container, so that a restart sees what the operator wrote since.
        env: [
          fromAnnotation("ETCD_INITIAL_CLUSTER", annotations.initialCluster),
          fromAnnotation("ETCD_INITIAL_CLUSTER_STATE", annotations.initialClusterState),
          { name: "ETCD_INITIAL_CLUSTER_TOKEN", value: member.spec.clusterToken },
        ],
        ports: [
          { name: "client", containerPort: clientPort, protocol: "TCP" },
          { name: "peer", containerPort: peerPort, protocol: "TCP" },
          { name: "metrics", containerPort: metricsPort, protocol: "TCP" },
        ],
        ...(template.resources === undefined ? {} : { resources: template.resources as unknown as Json }),
        securityContext: restrictedContainer,
        // Liveness never needs a quorum: restarting a member does not bring one back.
        startupProbe: {
          httpGet: { path: "/livez", port: "metrics" },
          periodSeconds: 2,
          timeoutSeconds: 5,
          failureThreshold: 300,
        },
        livenessProbe: {
          httpGet: { path: "/livez", port: "metrics" },
          periodSeconds: 10,
          timeoutSeconds: 10,
          failureThreshold: 6,
        },
        // An election takes a few seconds, and must not empty the client Service.
        readinessProbe: {
          httpGet: { path: "/readyz", port: "metrics" },
          periodSeconds: 5,
          timeoutSeconds: 5,
          failureThreshold: 4,
        },
        volumeMounts: [
          { name: "data", mountPath: dataFolder },
          { name: "tmp", mountPath: "/tmp" },
          ...tlsMountsOf(cluster),
        ],
      },
    ],
    volumes: [
      { name: "data", persistentVolumeClaim: { claimName: member.spec.volumeName } },
      { name: "tmp", emptyDir: { sizeLimit: "64Mi" } },
      ...tlsVolumesOf(cluster, name),
    ],
  };
}

function fromAnnotation(name: string, annotation: string): JsonObject {
  return { name, valueFrom: { fieldRef: { fieldPath: `metadata.annotations['${annotation}']` } } };
}

function argsOf(cluster: Observation["cluster"], member: Member): readonly string[] {
  const name = member.metadata.name;
  const { options } = cluster.spec;
  const given: readonly (readonly [string, string | number | undefined])[] = [
    ["name", name],
    // A folder of its own below the mount point, which belongs to the storage.
    ["data-dir", `${dataFolder}/data`],
    ["listen-client-urls", `${schemeOf(cluster, "client")}://0.0.0.0:${clientPort}`],
    ["advertise-client-urls", clientUrlOf(cluster, name)],
    ["listen-peer-urls", `${schemeOf(cluster, "peer")}://0.0.0.0:${peerPort}`],
    ["initial-advertise-peer-urls", peerUrlOf(cluster, name)],
    ["listen-metrics-urls", `http://0.0.0.0:${metricsPort}`],
    ...tlsFlagsOf(cluster),
    ["quota-backend-bytes", options.quotaBackendBytes],
    ["max-request-bytes", options.maxRequestBytes],
    ["snapshot-count", options.snapshotCount],
    ["heartbeat-interval", options.heartbeatIntervalMs],
    ["election-timeout", options.electionTimeoutMs],
    ["auto-compaction-mode", options.autoCompaction?.mode],
    ["auto-compaction-retention", options.autoCompaction?.retention],
  ];
  return given.flatMap(([flag, value]) => (value === undefined ? [] : [`--${flag}=${value}`]));
}

function spreadOf(cluster: string, spread: Observation["cluster"]["spec"]["spread"]): JsonObject {
  if (spread.mode === "None") return {};
  return {
    topologySpreadConstraints: spread.topologyKeys.map((topologyKey) => ({
      maxSkew: 1,
      topologyKey,
      whenUnsatisfiable: spread.mode === "Required" ? "DoNotSchedule" : "ScheduleAnyway",
      labelSelector: { matchLabels: { [labels.cluster]: cluster } },
    })),
  };
}
