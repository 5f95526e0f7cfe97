// spec of EtcdLikeCluster: what a user declares.

import { artifactSource, bumpRevision } from "./artifact.ts";
import { thresholds } from "./defrag.ts";
import {
  boolean,
  type Infer,
  integer,
  list,
  map,
  object,
  oneOf,
  optional,
  passedOn,
  quantity,
  string,
} from "./schema.ts";
import { snapshotRef } from "./snapshot.ts";
import { tlsSpec } from "./tls-spec.ts";

/** What a cluster that names no version runs; stored with the object, so a later operator does not change it. */
export const defaultVersion = "0.1.0";

export const replicasMax = 9;

const smallText = (description: string) => string({ description, maxLength: 253 });
const stringMap = (description: string) =>
  map(string({ description: "The value.", maxLength: 4096 }), { description, maxProperties: 64 });

const image = object(
  {
    repository: optional(
      string({
        description: "Image without tag; the operator's own setting when absent.",
        minLength: 1,
        maxLength: 255,
      }),
    ),
    digest: optional(
      string({
        description: "Takes the place of the tag; version then only says what the image holds.",
        maxLength: 71,
        pattern: "^sha256:[0-9a-f]{64}$",
      }),
    ),
    pullPolicy: oneOf(["Always", "IfNotPresent", "Never"], {
      description: "When nodes pull the image.",
      default: "IfNotPresent",
    }),
    pullSecrets: optional(
      list(smallText("Name of a Secret."), {
        description: "Secrets of the same namespace that open the registry.",
        maxItems: 8,
      }),
    ),
  },
  { description: "Where the members' image comes from.", default: {} },
);

const storage = object(
  {
    size: quantity({
      description: "Size of every member's volume. It grows where the storage class allows it.",
      default: "8Gi",
      rules: [
        {
          rule: "!quantity(string(self)).isLessThan(quantity(string(oldSelf)))",
          message: "size can grow, and never shrink",
        },
      ],
    }),
    storageClassName: optional(smallText("Storage class of the volumes; the default class when absent.")),
    accessMode: oneOf(["ReadWriteOnce", "ReadWriteOncePod"], {
      description:
        "Access mode of volumes made from now on. ReadWriteOncePod lets no two Pods open one, and needs a CSI driver that has it.",
      default: "ReadWriteOnce",
    }),
    reclaimPolicy: oneOf(["Retain", "Delete"], {
      description:
        "What becomes of the volume of a member that is removed, or of all of them with the cluster.",
      default: "Retain",
    }),
  },
  {
    description: "Volumes of the members.",
    default: {},
    rules: [
      {
        rule:
          "has(self.storageClassName) == has(oldSelf.storageClassName) && " +
          "(!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName)",
        message: "storageClassName cannot change once the cluster exists",
      },
    ],
  },
);

const template = object(
  {
    labels: optional(stringMap("Further labels of the Pods.")),
    annotations: optional(stringMap("Further annotations of the Pods.")),
    resources: optional(
      object(
        {
          requests: optional(
            map(quantity({ description: "Amount." }), {
              description: "What is reserved.",
              maxProperties: 16,
            }),
          ),
          limits: optional(
            map(quantity({ description: "Amount." }), {
              description: "The most it gets.",
              maxProperties: 16,
            }),
          ),
        },
        { description: "Processor and memory of a member." },
      ),
    ),
    nodeSelector: optional(stringMap("Labels a node needs.")),
    tolerations: optional(
      list(passedOn("A toleration, as in a Pod."), {
        description: "Taints the Pods stand.",
        maxItems: 32,
      }),
    ),
    affinity: optional(passedOn("Affinity, as in a Pod, beside what spread gives.")),
    priorityClassName: optional(smallText("Priority class of the Pods.")),
    terminationGracePeriodSeconds: integer({
      description: "How long a member may take to stop.",
      minimum: 1,
      maximum: 3600,
      default: 30,
    }),
  },
  {
    description: "What the members' Pods look like beyond what the operator decides.",
    default: {},
    rules: [
      {
        rule: "!has(self.labels) || self.labels.all(name, !name.startsWith('etcdlike.io/'))",
        message: "labels that begin with etcdlike.io/ are the operator's",
        fieldPath: ".labels",
      },
      {
        rule: "!has(self.annotations) || self.annotations.all(name, !name.startsWith('etcdlike.io/'))",
        message: "annotations that begin with etcdlike.io/ are the operator's",
        fieldPath: ".annotations",
      },
    ],
  },
);

const spread = object(
  {
    // Not "Off", which YAML 1.1 reads as false.
    mode: oneOf(["Preferred", "Required", "None"], {
      description: "Required leaves a member unscheduled rather than doubling up; Preferred does not.",
      default: "Preferred",
    }),
    topologyKeys: list(string({ description: "Label of nodes.", minLength: 1, maxLength: 317 }), {
      description: "Members are spread over the values of each of these.",
      maxItems: 4,
      default: ["kubernetes.io/hostname", "topology.kubernetes.io/zone"],
    }),
  },
  { description: "How members keep away from each other.", default: {} },
);

const services = object(
  {
    client: object(
      {
        type: oneOf(["ClusterIP", "NodePort", "LoadBalancer"], {
          description: "Type of the Service NAME-client.",
          default: "ClusterIP",
        }),
        labels: optional(stringMap("Further labels of the Service.")),
        annotations: optional(stringMap("Annotations of the Service.")),
      },
      { description: "The Service that clients use; only voting members stand behind it.", default: {} },
    ),
  },
  { description: "Services of the cluster.", default: {} },
);

const options = object(
  {
    quotaBackendBytes: optional(
      integer({ description: "--quota-backend-bytes", minimum: 1, format: "int64" }),
    ),
    maxRequestBytes: optional(
      integer({ description: "--max-request-bytes", minimum: 1, maximum: 64 * 1024 * 1024 }),
    ),
    snapshotCount: optional(integer({ description: "--snapshot-count", minimum: 100, maximum: 10_000_000 })),
    heartbeatIntervalMs: optional(
      integer({ description: "--heartbeat-interval", minimum: 10, maximum: 10_000 }),
    ),
    electionTimeoutMs: optional(integer({ description: "--election-timeout", minimum: 50, maximum: 50_000 })),
    autoCompaction: optional(
      object(
        {
          mode: oneOf(["periodic", "revision"], {
            description: "--auto-compaction-mode",
            default: "periodic",
          }),
          retention: string({
            description: "--auto-compaction-retention: a duration such as 1h, or a number of revisions.",
            minLength: 1,
            maxLength: 32,
            pattern: "^([0-9]+|([0-9]+(\\.[0-9]+)?(ms|s|m|h))+)$",
          }),
        },
        {
          description: "Compaction by the members themselves.",
          rules: [
            {
              rule: "self.mode != 'revision' || self.retention.matches('^[0-9]+$')",
              message: "with mode revision, retention is a number of revisions",
            },
          ],
        },
      ),
    ),
  },
  {
    description: "Settings of the members; each is the flag of etcd that its description names.",
    default: {},
    rules: [
      {
        rule: "!has(self.heartbeatIntervalMs) || !has(self.electionTimeoutMs) || self.electionTimeoutMs >= 5 * self.heartbeatIntervalMs",
        message: "electionTimeoutMs is at least five times heartbeatIntervalMs",
      },
      {
        rule: "!has(self.electionTimeoutMs) || has(self.heartbeatIntervalMs) || self.electionTimeoutMs >= 500",
        message: "electionTimeoutMs is at least 500 while heartbeatIntervalMs is its default of 100",
      },
      {
        rule: "!has(self.heartbeatIntervalMs) || has(self.electionTimeoutMs) || self.heartbeatIntervalMs <= 200",
        message: "heartbeatIntervalMs is at most 200 while electionTimeoutMs is its default of 1000",
      },
    ],
  },
);

const updateStrategy = object(
  {
    type: oneOf(["RollingMember", "OnDelete"], {
      description:
        "RollingMember restarts one member at a time, the leader last; OnDelete waits for the user to delete Pods.",
      default: "RollingMember",
    }),
  },
  { description: "How a change of the members' Pods is brought in.", default: {} },
);

const healing = object(
  {
    replaceAfterSeconds: integer({
      description:
        "How long a member may be away or crash without a stated reason before it is replaced by a new one.",
      minimum: 10,
      maximum: 86_400,
      default: 900,
    }),
    maintenanceSeconds: integer({
      description:
        "How long a member may be away whose Pod finds no node because one is cordoned; never less than replaceAfterSeconds.",
      minimum: 10,
      maximum: 604_800,
      default: 14_400,
    }),
    maxReplacementsPerHour: integer({
      description: "More replacements than these wait, so that a bad image cannot eat the cluster.",
      minimum: 0,
      maximum: 20,
      default: 2,
    }),
  },
  { description: "How failed members are replaced.", default: {} },
);

const monitoring = object(
  {
    scrape: oneOf(["PodMonitor", "Annotations", "None"], {
      description:
        "How Prometheus finds the members. PodMonitor: by the chart's, if it is enabled. Annotations: by prometheus.io annotations of the Pods. None: not at all. A change goes through all Pods.",
      default: "PodMonitor",
    }),
  },
  { description: "Metrics of the members, on port 2381 of their Pods.", default: {} },
);

const maintenance = object(
  {
    defrag: optional(
      object(
        {
          ...thresholds,
          minIntervalSeconds: integer({
            description: "The least time between the last defragmentation of a member and a further run.",
            minimum: 600,
            maximum: 2_592_000,
            default: 3_600,
          }),
        },
        {
          description: "An EtcdLikeDefrag is made whenever a member is above one of these.",
          rules: [
            {
              rule: "has(self.freeSpaceAbove) || has(self.quotaUsageAbove)",
              message: "freeSpaceAbove, quotaUsageAbove or both say when",
            },
          ],
        },
      ),
    ),
  },
  { description: "What the operator does by itself to keep the cluster well.", default: {} },
);

const bootstrap = object(
  {
    adoptFrom: optional(
      object(
        {
          clusterId: string({
            description: "Id of that cluster in hexadecimal, as its status and its volumes' annotations say.",
            minLength: 1,
            maxLength: 16,
            pattern: "^[0-9a-f]+$",
          }),
        },
        { description: "Volumes that a former cluster of this name left behind become its members again." },
      ),
    ),
    restoreFrom: optional(
      object(
        { snapshotRef: optional(snapshotRef), source: optional(artifactSource), bumpRevision },
        {
          description: "A snapshot that the first member begins with; of etcdlike or of etcd.",
          rules: [
            {
              rule: "has(self.snapshotRef) != has(self.source)",
              message: "exactly one of snapshotRef and source is given",
            },
          ],
        },
      ),
    ),
  },
  {
    description: "What the cluster is made from, if not from nothing.",
    rules: [
      {
        rule: "has(self.adoptFrom) != has(self.restoreFrom)",
        message: "exactly one of adoptFrom and restoreFrom is given",
      },
    ],
  },
);

const minorOf = (version: string) => `int(${version}.split('.')[1])`;

export const clusterSpec = object(
  {
    replicas: integer({
      description: "Number of members: odd, or 0 to stop all of them and keep their volumes.",
      minimum: 0,
      maximum: replicasMax,
      default: 3,
      rules: [{ rule: "self == 0 || self % 2 == 1", message: "replicas is odd, or 0 to hibernate" }],
    }),
    version: string({
      description: "Version of the members, x.y.z: the tag of their image.",
      minLength: 5,
      maxLength: 32,
      pattern: "^(0|[1-9][0-9]{0,5})\\.(0|[1-9][0-9]{0,5})\\.(0|[1-9][0-9]{0,5})$",
      default: defaultVersion,
      rules: [
        {
          rule: "self.split('.')[0] == oldSelf.split('.')[0]",
          message: "the major version cannot change",
        },
        {
          rule: `${minorOf("self")} - ${minorOf("oldSelf")} in [0, 1]`,
          message: "the minor version goes up by at most one, and never down",
        },
      ],
    }),
    image,
    storage,
    template,
    spread,
    services,
    tls: tlsSpec,
    options,
    updateStrategy,
    healing,
    maintenance,
    monitoring,
    bootstrap: optional(bootstrap),
    paused: boolean({
      description: "The operator only reports, and changes nothing.",
      default: false,
    }),
    progressDeadlineSeconds: integer({
      description:
        "How long one change may take before it is reported as stuck, and a joining member given up.",
      minimum: 30,
      maximum: 86_400,
      default: 600,
    }),
  },
  { description: "The cluster as it should be.", default: {} },
);

export type ClusterSpec = Infer<typeof clusterSpec>;
