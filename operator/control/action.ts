// What a decision may demand. Every action is idempotent: doing it again after a crash changes nothing more.
import type { DefragSpec, DefragStatus } from "../api/defrag.ts";
import type { MemberSpec } from "../api/member.ts";
import type { Json } from "../api/schema.ts";
import type { AuthorityPhase } from "../model/certificates.ts";
import type { Plane } from "../model/names.ts";

export type Action = { readonly why: string } & (
  | { readonly kind: "ApplyObject"; readonly object: { readonly [key: string]: Json } }
  | CertificateAction
  | { readonly kind: "CreateMember"; readonly name: string; readonly spec: MemberSpec }
  | {
      readonly kind: "UpdateMember";
      readonly name: string;
      readonly initialCluster?: string;
      readonly clusterId?: string;
      readonly storageSize?: string | number;
    }
  /** Lets the finalizer go, and deletes the object. */
  | { readonly kind: "DeleteMember"; readonly name: string }
  | { readonly kind: "CreateVolume"; readonly member: string }
  | { readonly kind: "ResizeVolume"; readonly name: string; readonly size: string | number }
  /** Makes a volume that another object of this name left behind this cluster's. */
  | { readonly kind: "ClaimVolume"; readonly name: string }
  | { readonly kind: "LatchVolume"; readonly name: string; readonly clusterId: string }
  | { readonly kind: "QuarantineVolume"; readonly name: string; readonly reason: string }
  | { readonly kind: "DeleteVolume"; readonly name: string }
  | { readonly kind: "CreatePod"; readonly member: string; readonly initialClusterState: "new" | "existing" }
  | {
      readonly kind: "UpdatePod";
      readonly name: string;
      readonly role?: "voter" | "learner";
      readonly initialCluster?: string;
      readonly initialClusterState?: "existing";
    }
  | { readonly kind: "DeletePod"; readonly name: string; readonly uid: string }
  | { readonly kind: "AddLearner"; readonly member: string; readonly peerUrl: string }
  | { readonly kind: "PromoteMember"; readonly member: string; readonly id: string }
  | { readonly kind: "RemoveMember"; readonly member: string; readonly id: string }
  | { readonly kind: "MoveLeader"; readonly from: string; readonly to: string; readonly toId: string }
  | { readonly kind: "CreateDefrag"; readonly name: string; readonly spec: DefragSpec }
  | {
      readonly kind: "WriteDefrag";
      readonly name: string;
      readonly status: DefragStatus;
      /** Members whose NOSPACE alarm goes before. */
      readonly disarm: readonly string[];
    }
  | { readonly kind: "DeleteDefrag"; readonly name: string }
  /** Records in the run what came of it. */
  | { readonly kind: "Defragment"; readonly run: string; readonly member: string }
);

/** Secrets that are there are changed only as they were seen: at `resourceVersion`. `request`: see SecretNotes. */
export type CertificateAction =
  | { readonly kind: "CreateAuthority"; readonly plane: Plane; readonly request?: string }
  | {
      readonly kind: "RotateAuthority";
      readonly plane: Plane;
      readonly to: AuthorityPhase;
      readonly resourceVersion: string;
      readonly request?: string;
    }
  | {
      readonly kind: "IssueCertificate";
      readonly plane: Plane;
      readonly name: string;
      readonly commonName: string;
      readonly hosts: readonly string[];
      /** It goes with this member; with the cluster without one. */
      readonly member?: string;
      readonly request?: string;
      /** Of the Secret whose certificate is replaced. */
      readonly resourceVersion?: string;
    }
  | {
      readonly kind: "UpdateTrust";
      readonly plane: Plane;
      readonly name: string;
      readonly resourceVersion: string;
    };

export function isAboutCertificates(action: Action): action is Action & CertificateAction {
  switch (action.kind) {
    case "CreateAuthority":
    case "RotateAuthority":
    case "IssueCertificate":
    case "UpdateTrust":
      return true;
    default:
      return false;
  }
}

/** Actions that take something away, change who votes or replace a record: decided again from a fresh reading before they are done. */
export function isGrave(action: Action): boolean {
  switch (action.kind) {
    case "DeleteMember":
    case "QuarantineVolume":
    case "DeleteVolume":
    case "ClaimVolume":
    case "DeletePod":
    case "AddLearner":
    case "PromoteMember":
    case "RemoveMember":
    case "MoveLeader":
    case "CreateDefrag":
    case "WriteDefrag":
    case "DeleteDefrag":
    case "Defragment":
      return true;
    case "CreatePod":
      return action.initialClusterState === "new";
    case "CreateMember":
      return action.spec.role === "Seed" || action.spec.initialCluster !== undefined;
    default:
      return false;
  }
}
