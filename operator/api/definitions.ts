// The CustomResourceDefinitions as the API server takes them.
import { clusterSpec } from "./cluster-spec.ts";
import { clusterStatus } from "./cluster-status.ts";
import { defragSpec, defragStatus } from "./defrag.ts";
import { group, resources, schemaRevision, schemaRevisionAnnotation, version } from "./group.ts";
import { memberSpec, memberStatus } from "./member.ts";
import { restoreNameMax, restoreSpec, restoreStatus } from "./restore.ts";
import type { Json, Rule, Schema } from "./schema.ts";
import { snapshotNameMax, snapshotSpec, snapshotStatus } from "./snapshot.ts";
import { scheduleNameMax, scheduleSpec, scheduleStatus } from "./snapshot-schedule.ts";

interface Column {
  readonly name: string;
  readonly type: "string" | "integer" | "boolean" | "date";
  readonly jsonPath: string;
  readonly description?: string;
  /** Columns above 0 show with `-o wide` only. */
  readonly priority?: number;
}

interface Definition {
  readonly resource: (typeof resources)[keyof typeof resources];
  readonly description: string;
  readonly spec: Schema<unknown>;
  readonly status: Schema<unknown>;
  readonly rules?: readonly Rule[];
  readonly hasScale?: boolean;
  readonly columns: readonly Column[];
}

const age: Column = { name: "Age", type: "date", jsonPath: ".metadata.creationTimestamp" };
const condition = (type: string) => `.status.conditions[?(@.type=="${type}")].status`;

const definitions: readonly Definition[] = [
  {
    resource: resources.cluster,
    description: "A cluster of etcdlike members.",
    spec: clusterSpec,
    status: clusterStatus,
    rules: [
      // The Pods' and Services' names are made from it and have to fit a DNS label of 63 characters.
      {
        rule: "size(self.metadata.name) <= 43 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
        message: "the name is a DNS label of at most 43 characters that begins with a letter",
      },
      {
        rule:
          "!has(oldSelf.status) || !has(oldSelf.status.clusterId) || " +
          "(has(self.spec.bootstrap) == has(oldSelf.spec.bootstrap) && " +
          "(!has(self.spec.bootstrap) || self.spec.bootstrap == oldSelf.spec.bootstrap))",
        message: "spec.bootstrap cannot change once the cluster is formed",
      },
    ],
    hasScale: true,
    columns: [
      { name: "Ready", type: "string", jsonPath: condition("Ready") },
      { name: "Members", type: "integer", jsonPath: ".status.readyReplicas", description: "Healthy members" },
      { name: "Desired", type: "integer", jsonPath: ".spec.replicas" },
      { name: "Version", type: "string", jsonPath: ".status.currentVersion" },
      { name: "Leader", type: "string", jsonPath: ".status.leader" },
      {
        name: "Quorum",
        type: "string",
        jsonPath: ".status.quorum",
        description: "healthy/needed (+tolerance)",
      },
      age,
      { name: "Updated", type: "integer", jsonPath: ".status.updatedReplicas", priority: 1 },
      { name: "Cluster ID", type: "string", jsonPath: ".status.clusterId", priority: 1 },
      { name: "Operation", type: "string", jsonPath: ".status.operation.type", priority: 1 },
    ],
  },
  {
    resource: resources.member,
    description:
      "One member of an EtcdLikeCluster. Written by the operator; deleting it replaces the member.",
    spec: memberSpec,
    status: memberStatus,
    columns: [
      { name: "Cluster", type: "string", jsonPath: ".spec.clusterName" },
      { name: "Phase", type: "string", jsonPath: ".status.phase" },
      { name: "ID", type: "string", jsonPath: ".status.memberId" },
      { name: "Version", type: "string", jsonPath: ".status.version" },
      age,
      { name: "Volume", type: "string", jsonPath: ".spec.volumeName", priority: 1 },
    ],
  },
  {
    resource: resources.snapshot,
    description:
      "One snapshot of an EtcdLikeCluster in an object store or on a volume, verified by a restore.",
    spec: snapshotSpec,
    status: snapshotStatus,
    rules: [nameRule(snapshotNameMax)],
    columns: [
      { name: "Cluster", type: "string", jsonPath: ".spec.clusterRef.name" },
      { name: "Phase", type: "string", jsonPath: ".status.phase" },
      { name: "Verified", type: "string", jsonPath: condition("Verified") },
      { name: "Revision", type: "integer", jsonPath: ".status.revision" },
      { name: "Bytes", type: "integer", jsonPath: ".status.artifact.sizeBytes" },
      age,
      { name: "URI", type: "string", jsonPath: ".status.artifact.uri", priority: 1 },
      { name: "Member", type: "string", jsonPath: ".status.member", priority: 1 },
    ],
  },
  {
    resource: resources.restore,
    description: "An EtcdLikeCluster that exists gets the content of a snapshot in place of its own.",
    spec: restoreSpec,
    status: restoreStatus,
    rules: [nameRule(restoreNameMax)],
    columns: [
      { name: "Cluster", type: "string", jsonPath: ".spec.clusterRef.name" },
      { name: "Phase", type: "string", jsonPath: ".status.phase" },
      { name: "Verified", type: "string", jsonPath: condition("Verified") },
      { name: "Revision", type: "integer", jsonPath: ".status.revision" },
      age,
    ],
  },
  {
    resource: resources.schedule,
    description: "Snapshots of an EtcdLikeCluster by the clock.",
    spec: scheduleSpec,
    status: scheduleStatus,
    rules: [nameRule(scheduleNameMax)],
    columns: [
      { name: "Cluster", type: "string", jsonPath: ".spec.clusterRef.name" },
      { name: "Schedule", type: "string", jsonPath: ".spec.schedule" },
      { name: "Time Zone", type: "string", jsonPath: ".spec.timeZone" },
      { name: "Suspend", type: "boolean", jsonPath: ".spec.suspend" },
      { name: "Last", type: "date", jsonPath: ".status.lastScheduleTime" },
      { name: "Last Success", type: "date", jsonPath: ".status.lastSuccessfulTime" },
      age,
    ],
  },
  {
    resource: resources.defrag,
    description: "One run that defragments the members of an EtcdLikeCluster, the leader last.",
    spec: defragSpec,
    status: defragStatus,
    columns: [
      { name: "Cluster", type: "string", jsonPath: ".spec.clusterRef.name" },
      { name: "Phase", type: "string", jsonPath: ".status.phase" },
      { name: "Reclaimed", type: "integer", jsonPath: ".status.reclaimedBytes", description: "Bytes" },
      age,
      { name: "Message", type: "string", jsonPath: ".status.message", priority: 1 },
    ],
  },
];

function nameRule(lengthMax: number): Rule {
  return {
    rule: `size(self.metadata.name) <= ${lengthMax} && self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')`,
    message: `the name is a DNS label of at most ${lengthMax} characters`,
  };
}

export type CustomResourceDefinition = Readonly<Record<string, Json>> & {
  readonly metadata: { readonly name: string };
};

export function customResourceDefinitions(): readonly CustomResourceDefinition[] {
  return definitions.map((definition) => {
    const { kind, plural, shortName } = definition.resource;
    return {
      apiVersion: "apiextensions.k8s.io/v1",
      kind: "CustomResourceDefinition",
      metadata: {
        name: `${plural}.${group}`,
        annotations: { [schemaRevisionAnnotation]: String(schemaRevision) },
      },
      spec: {
        group,
        scope: "Namespaced",
        names: {
          kind,
          listKind: `${kind}List`,
          plural,
          singular: kind.toLowerCase(),
          shortNames: [shortName],
          categories: ["etcdlike"],
        },
        versions: [
          {
            name: version,
            served: true,
            storage: true,
            schema: { openAPIV3Schema: rootSchema(definition) },
            subresources: {
              status: {},
              ...(definition.hasScale === true ? { scale } : {}),
            },
            additionalPrinterColumns: definition.columns.map((column) => ({ ...column })),
          },
        ],
      },
    };
  });
}

const scale = {
  specReplicasPath: ".spec.replicas",
  statusReplicasPath: ".status.replicas",
  labelSelectorPath: ".status.selector",
};

function rootSchema(definition: Definition): Json {
  return {
    type: "object",
    description: definition.description,
    ...(definition.rules === undefined
      ? {}
      : { "x-kubernetes-validations": definition.rules.map((rule) => ({ ...rule })) }),
    required: ["spec"],
    properties: {
      apiVersion: { type: "string" },
      kind: { type: "string" },
      metadata: { type: "object" },
      spec: definition.spec.json,
      status: definition.status.json,
    },
  };
}
