// The custom resources as objects.
import type { ClusterSpec } from "../api/cluster-spec.ts";
import type { ClusterStatus } from "../api/cluster-status.ts";
import type { DefragSpec, DefragStatus } from "../api/defrag.ts";
import type { MemberObjectStatus, MemberSpec } from "../api/member.ts";
import type { ObjectMeta } from "../kube/objects.ts";

export interface Cluster {
  readonly metadata: ObjectMeta & { readonly namespace: string; readonly uid: string };
  readonly spec: ClusterSpec;
  readonly status?: ClusterStatus;
}

export interface Member {
  readonly metadata: ObjectMeta;
  readonly spec: MemberSpec;
  readonly status?: MemberObjectStatus;
}

export interface Defrag {
  readonly metadata: ObjectMeta;
  readonly spec: DefragSpec;
  readonly status?: DefragStatus;
}
