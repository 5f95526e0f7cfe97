// The objects of one cluster: from copies that reflectors keep, or by lists of now.
import { labels } from "../api/group.ts";
import { isStatus, type KubeClient } from "../kube/client.ts";
import { type KubeObject, kinds, type Resource, resourcePath } from "../kube/objects.ts";
import type { Cluster, Defrag, Member } from "../model/objects.ts";
import type { Restore, Snapshot } from "../model/snapshot-objects.ts";
import type { Secret } from "./secrets.ts";
import type { ClusterState, Pod, VolumeClaim } from "./state.ts";

/** Kinds that are watched beside clusters; all carry the label of their cluster. */
export const ownedKinds = [
  kinds.member,
  kinds.pod,
  kinds.volumeClaim,
  kinds.secret,
  kinds.service,
  kinds.disruptionBudget,
  kinds.networkPolicy,
] as const;

/** Kinds written by users that name their cluster in spec.clusterRef; they carry no label. */
export const referringKinds: readonly Resource[] = [kinds.defrag];

/** Kinds that clusters refer to, or that refer to them, and that others work on: read, and waited for. */
const neighbourKinds: readonly Resource[] = [kinds.snapshot, kinds.restore];

/** The copy of one kind in one namespace, or in all. */
export interface Copies {
  readonly resource: Resource;
  all(): Iterable<KubeObject>;
}

/** NAMESPACE/NAME of the cluster that an object belongs to, or is. */
export function clusterKeyOf(resource: Resource, object: KubeObject): string | undefined {
  const { metadata } = object;
  const name =
    resource.kind === kinds.cluster.kind
      ? metadata.name
      : isReferring(resource)
        ? (object as { spec?: { clusterRef?: { name?: string } } }).spec?.clusterRef?.name
        : metadata.labels?.[labels.cluster];
  return name === undefined ? undefined : `${metadata.namespace ?? ""}/${name}`;
}

export function isReferring(resource: Resource): boolean {
  return referringKinds.some((one) => one.kind === resource.kind);
}

export function readCopies(copies: readonly Copies[], namespace: string, name: string): ClusterState {
  const key = `${namespace}/${name}`;
  const found = (resource: Resource) =>
    copies
      .filter((one) => one.resource.kind === resource.kind)
      .flatMap((one) => [...one.all()].filter((object) => clusterKeyOf(resource, object) === key));
  const inNamespace = (resource: Resource) =>
    copies
      .filter((one) => one.resource.kind === resource.kind)
      .flatMap((one) => [...one.all()].filter(({ metadata }) => metadata.namespace === namespace));
  const isNeighbour = (resource: Resource) => neighbourKinds.includes(resource);
  return stateOf(found(kinds.cluster)[0], (resource) =>
    isNeighbour(resource) ? inNamespace(resource) : found(resource),
  );
}

export async function readFresh(client: KubeClient, namespace: string, name: string): Promise<ClusterState> {
  const listed: readonly Resource[] = [...ownedKinds, ...referringKinds, ...neighbourKinds];
  const isNeighbour = (resource: Resource) => neighbourKinds.includes(resource);
  const [cluster, ...lists] = await Promise.all([
    readCluster(client, namespace, name),
    ...listed.map(async (resource) => {
      const list = (await client.request({
        method: "GET",
        path: resourcePath(resource, { namespace }),
        ...(isReferring(resource) || isNeighbour(resource)
          ? {}
          : { query: { labelSelector: `${labels.cluster}=${name}` } }),
      })) as { items: KubeObject[] };
      if (isNeighbour(resource)) return list.items;
      return list.items.filter((object) => clusterKeyOf(resource, object) === `${namespace}/${name}`);
    }),
  ]);
  const byKind = new Map(listed.map((resource, i) => [resource.kind, lists[i] ?? []]));
  return stateOf(cluster, (resource) => byKind.get(resource.kind) ?? []);
}

async function readCluster(
  client: KubeClient,
  namespace: string,
  name: string,
): Promise<KubeObject | undefined> {
  try {
    const path = resourcePath(kinds.cluster, { namespace, name });
    return (await client.request({ method: "GET", path })) as KubeObject;
  } catch (error) {
    if (isStatus(error, 404)) return undefined;
    throw error;
  }
}

function stateOf(
  cluster: KubeObject | undefined,
  of: (resource: Resource) => readonly KubeObject[],
): ClusterState {
  // Objects in lists do not carry their kind.
  const withKind = (resource: Resource) => of(resource).map((object) => ({ ...object, kind: resource.kind }));
  return {
    cluster: cluster as unknown as Cluster | undefined,
    members: of(kinds.member) as unknown as Member[],
    defrags: of(kinds.defrag) as unknown as Defrag[],
    snapshots: of(kinds.snapshot) as unknown as Snapshot[],
    restores: (of(kinds.restore) as unknown as Restore[]).filter(
      ({ spec }) => spec.clusterRef.name === cluster?.metadata.name,
    ),
    pods: of(kinds.pod) as Pod[],
    volumes: of(kinds.volumeClaim) as VolumeClaim[],
    secrets: of(kinds.secret) as Secret[],
    others: [kinds.service, kinds.disruptionBudget, kinds.networkPolicy].flatMap(withKind),
  };
}
