// The objects of a cluster beside its members: two Services, a disruption budget, a network policy.
import { createHash } from "node:crypto";
import { annotations, apiVersion, labels, resources } from "../api/group.ts";
import type { Json } from "../api/schema.ts";
import { canonical } from "../lib/canonical.ts";
import { clientPort, clientServiceName, peerPort, peerServiceName } from "../model/names.ts";
import type { Observation } from "../model/observation.ts";
import { quorumOf } from "../model/quorum.ts";

type JsonObject = { readonly [key: string]: Json };

export interface RenderedObject {
  readonly object: JsonObject;
  readonly hash: string;
}

/** Kind and name, as decisions refer to objects. */
export function objectKey(object: JsonObject): string {
  return `${String(object["kind"])}/${String((object["metadata"] as JsonObject)["name"])}`;
}

export function renderedObjects(observation: Observation, voters: number): readonly RenderedObject[] {
  return [
    peerService(observation),
    clientService(observation),
    disruptionBudget(observation, voters),
    networkPolicy(observation),
  ].map((object) => {
    const hash = createHash("sha256").update(canonical(object)).digest("hex").slice(0, 16);
    const metadata = object["metadata"] as JsonObject;
    const notes = {
      ...(metadata["annotations"] as JsonObject | undefined),
      [annotations.templateHash]: hash,
    };
    return { hash, object: { ...object, metadata: { ...metadata, annotations: notes } } };
  });
}

function metadataOf({ cluster }: Observation, name: string, extra: JsonObject = {}): JsonObject {
  const { namespace, uid } = cluster.metadata;
  return {
    name,
    namespace,
    labels: {
      ...(extra["labels"] as JsonObject | undefined),
      "app.kubernetes.io/name": "etcdlike",
      "app.kubernetes.io/instance": cluster.metadata.name,
      "app.kubernetes.io/managed-by": "etcdlike-operator",
      [labels.cluster]: cluster.metadata.name,
    },
    ...(extra["annotations"] === undefined ? {} : { annotations: extra["annotations"] }),
    ownerReferences: [
      {
        apiVersion,
        kind: resources.cluster.kind,
        name: cluster.metadata.name,
        uid,
        controller: true,
      },
    ],
  };
}

/** Names for the members. They find each other before they are ready. */
function peerService(observation: Observation): JsonObject {
  const { cluster } = observation;
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: metadataOf(observation, peerServiceName(cluster)),
    spec: {
      clusterIP: "None",
      publishNotReadyAddresses: true,
      selector: { [labels.cluster]: cluster.metadata.name },
      ports: [
        { name: "client", port: clientPort, targetPort: "client", protocol: "TCP" },
        { name: "peer", port: peerPort, targetPort: "peer", protocol: "TCP" },
      ],
    },
  };
}

function clientService(observation: Observation): JsonObject {
  const { cluster } = observation;
  const { type, labels: own, annotations: notes } = cluster.spec.services.client;
  const extra: JsonObject = {
    ...(own === undefined ? {} : { labels: own }),
    ...(notes === undefined ? {} : { annotations: notes }),
  };
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: metadataOf(observation, clientServiceName(cluster), extra),
    spec: {
      type,
      selector: { [labels.cluster]: cluster.metadata.name, [labels.role]: "voter" },
      ports: [{ name: "client", port: clientPort, targetPort: "client", protocol: "TCP" }],
    },
  };
}

/** Evictions leave a quorum of the voters there are or are meant to be. */
function disruptionBudget(observation: Observation, voters: number): JsonObject {
  const { cluster } = observation;
  const known = voters > 0 ? voters : (cluster.status?.votingMembers ?? 0);
  return {
    apiVersion: "policy/v1",
    kind: "PodDisruptionBudget",
    metadata: metadataOf(observation, cluster.metadata.name),
    spec: {
      minAvailable: quorumOf(Math.max(known, cluster.spec.replicas)),
      selector: { matchLabels: { [labels.cluster]: cluster.metadata.name, [labels.role]: "voter" } },
      unhealthyPodEvictionPolicy: "IfHealthyBudget",
    },
  };
}

/** Members alone reach the peer port. */
function networkPolicy(observation: Observation): JsonObject {
  const { cluster } = observation;
  const members = { matchLabels: { [labels.cluster]: cluster.metadata.name } };
  return {
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    metadata: metadataOf(observation, cluster.metadata.name),
    spec: {
      podSelector: members,
      policyTypes: ["Ingress"],
      ingress: [
        {
          ports: [
            { port: "client", protocol: "TCP" },
            { port: "metrics", protocol: "TCP" },
          ],
        },
        { from: [{ podSelector: members }], ports: [{ port: "peer", protocol: "TCP" }] },
      ],
    },
  };
}
