// Kubernetes objects as plain data: the parts the operator reads or writes.

export interface OwnerReference {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
  readonly controller?: boolean;
}

export interface ObjectMeta {
  readonly name: string;
  readonly namespace?: string;
  readonly uid?: string;
  readonly resourceVersion?: string;
  readonly generation?: number;
  readonly creationTimestamp?: string;
  readonly deletionTimestamp?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly finalizers?: readonly string[];
  readonly ownerReferences?: readonly OwnerReference[];
}

export interface KubeObject {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata: ObjectMeta;
}

/** Where a kind of object lives in the API. */
export interface Resource {
  readonly apiVersion: string;
  readonly kind: string;
  readonly plural: string;
}

/** The path of one object, of all of them in a namespace, or of all of them. */
export function resourcePath(
  resource: Resource,
  at: { readonly namespace?: string | undefined; readonly name?: string; readonly subresource?: string } = {},
): string {
  const root = resource.apiVersion.includes("/")
    ? `/apis/${resource.apiVersion}`
    : `/api/${resource.apiVersion}`;
  const parts = [root];
  if (at.namespace !== undefined) parts.push("namespaces", encodeURIComponent(at.namespace));
  parts.push(resource.plural);
  if (at.name !== undefined) parts.push(encodeURIComponent(at.name));
  if (at.subresource !== undefined) parts.push(at.subresource);
  return parts.join("/");
}

export const kinds = {
  pod: { apiVersion: "v1", kind: "Pod", plural: "pods" },
  volumeClaim: { apiVersion: "v1", kind: "PersistentVolumeClaim", plural: "persistentvolumeclaims" },
  secret: { apiVersion: "v1", kind: "Secret", plural: "secrets" },
  service: { apiVersion: "v1", kind: "Service", plural: "services" },
  event: { apiVersion: "v1", kind: "Event", plural: "events" },
  disruptionBudget: { apiVersion: "policy/v1", kind: "PodDisruptionBudget", plural: "poddisruptionbudgets" },
  networkPolicy: { apiVersion: "networking.k8s.io/v1", kind: "NetworkPolicy", plural: "networkpolicies" },
  lease: { apiVersion: "coordination.k8s.io/v1", kind: "Lease", plural: "leases" },
  cluster: { apiVersion: "etcdlike.io/v1alpha1", kind: "EtcdLikeCluster", plural: "etcdlikeclusters" },
  member: { apiVersion: "etcdlike.io/v1alpha1", kind: "EtcdLikeMember", plural: "etcdlikemembers" },
  snapshot: { apiVersion: "etcdlike.io/v1alpha1", kind: "EtcdLikeSnapshot", plural: "etcdlikesnapshots" },
  schedule: {
    apiVersion: "etcdlike.io/v1alpha1",
    kind: "EtcdLikeSnapshotSchedule",
    plural: "etcdlikesnapshotschedules",
  },
  restore: { apiVersion: "etcdlike.io/v1alpha1", kind: "EtcdLikeRestore", plural: "etcdlikerestores" },
  job: { apiVersion: "batch/v1", kind: "Job", plural: "jobs" },
  defrag: { apiVersion: "etcdlike.io/v1alpha1", kind: "EtcdLikeDefrag", plural: "etcdlikedefrags" },
  definition: {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    plural: "customresourcedefinitions",
  },
} as const satisfies Record<string, Resource>;
