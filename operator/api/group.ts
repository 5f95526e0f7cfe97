// Names that users, charts and objects in clusters rely on.

export const group = "etcdlike.io";
export const version = "v1alpha1";
export const apiVersion = `${group}/${version}`;

/**
 * Goes up with every change of a schema. The operator refuses to act while the API server holds definitions of
 * a lower revision: fields it depends on, its record of the operation in flight among them, would be pruned.
 */
export const schemaRevision = 4;
export const schemaRevisionAnnotation = `${group}/schema-revision`;

/** Kind, plural and short name of every custom resource. */
export const resources = {
  cluster: { kind: "EtcdLikeCluster", plural: "etcdlikeclusters", shortName: "elc" },
  member: { kind: "EtcdLikeMember", plural: "etcdlikemembers", shortName: "elm" },
  snapshot: { kind: "EtcdLikeSnapshot", plural: "etcdlikesnapshots", shortName: "els" },
  schedule: {
    kind: "EtcdLikeSnapshotSchedule",
    plural: "etcdlikesnapshotschedules",
    shortName: "elss",
  },
  restore: { kind: "EtcdLikeRestore", plural: "etcdlikerestores", shortName: "elr" },
  defrag: { kind: "EtcdLikeDefrag", plural: "etcdlikedefrags", shortName: "eld" },
} as const;

export const labels = {
  cluster: `${group}/cluster`,
  member: `${group}/member`,
  slot: `${group}/slot`,
  /** `voter` on the Pods of members that vote; they alone stand behind the client Service. */
  role: `${group}/role`,
  quarantined: `${group}/quarantined`,
  /** `false` on Pods that the chart's PodMonitor leaves alone. */
  scrape: `${group}/scrape`,
  /** Of Jobs and their Pods: the snapshot or restore they work for. */
  snapshot: `${group}/snapshot`,
  /** Of snapshots: the schedule that made them. */
  schedule: `${group}/schedule`,
} as const;

export const annotations = {
  templateHash: `${group}/template-hash`,
  /** What the container reads at each of its starts: `new` only until the cluster is formed. */
  initialClusterState: `${group}/initial-cluster-state`,
  initialCluster: `${group}/initial-cluster`,
  clusterId: `${group}/cluster-id`,
  clusterUid: `${group}/cluster-uid`,
  clusterToken: `${group}/cluster-token`,
  memberId: `${group}/member-id`,
  /** On volume claims: size, time and text of a refused growth, as JSON. */
  resizeRefusal: `${group}/resize-refusal`,
  quarantineReason: `${group}/quarantine-reason`,
  /** On a snapshot: a new value asks for another verification. */
  verify: `${group}/verify`,
  /** On clusters, by users: a new value renews all certificates of source Auto. */
  rotateCertificates: `${group}/rotate-certificates`,
  /** The same for their certificate authorities. */
  rotateAuthorities: `${group}/rotate-authorities`,
  /** On Secrets: what they were made from, and when. */
  certificateHosts: `${group}/certificate-hosts`,
  rotationRequest: `${group}/rotation-request`,
  writtenAt: `${group}/written-at`,
  authorityPhase: `${group}/authority-phase`,
} as const;

/** On members: the operator takes the member out of the cluster before its object goes. */
export const memberFinalizer = `${group}/member`;

/** On snapshots: the operator removes the stored file, if it is to go, before the object goes. */
export const snapshotFinalizer = `${group}/snapshot`;
