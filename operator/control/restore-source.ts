// Which snapshot a cluster or a restore begins with, and why it does not yet.
import type { ArtifactSource, RestoreOrigin } from "../api/artifact.ts";
import type { Observation } from "../model/observation.ts";
import type { Restore, Snapshot } from "../model/snapshot-objects.ts";
import { sourceOf } from "../render/artifact.ts";

export type FoundSource =
  | { readonly ok: true; readonly source: ArtifactSource }
  /** `isFinal`: waiting does not help. */
  | { readonly ok: false; readonly isFinal: boolean; readonly message: string };

/** How it is declared: a snapshot of the namespace, or a file that is there. */
export interface Declared {
  readonly snapshotRef?: { readonly name: string };
  readonly source?: ArtifactSource;
}

export function findSource({ snapshotRef, source }: Declared, snapshots: readonly Snapshot[]): FoundSource {
  if (source !== undefined) return { ok: true, source };
  const name = snapshotRef?.name ?? "";
  const snapshot = snapshots.find(({ metadata }) => metadata.name === name);
  if (snapshot === undefined)
    return { ok: false, isFinal: false, message: `there is no EtcdLikeSnapshot ${name}` };
  const { phase, artifact, conditions } = snapshot.status ?? {};
  const verified = conditions?.find(({ type }) => type === "Verified");
  if (verified?.status === "False") {
    return { ok: false, isFinal: true, message: `EtcdLikeSnapshot ${name} is damaged: ${verified.message}` };
  }
  if (phase === "Failed") return { ok: false, isFinal: true, message: `EtcdLikeSnapshot ${name} failed` };
  if (artifact === undefined) {
    return { ok: false, isFinal: false, message: `EtcdLikeSnapshot ${name} is not taken yet` };
  }
  return { ok: true, source: sourceOf(snapshot) };
}

/** What the first member after a restore begins with. */
export function originOfRestore(
  { spec: { survivor, bumpRevision, ...declared } }: Restore,
  { snapshots, members, volumes }: Observation,
): { readonly ok: true; readonly origin: RestoreOrigin } | (FoundSource & { readonly ok: false }) {
  if (survivor === undefined) {
    const found = findSource(declared, snapshots);
    return found.ok ? { ok: true, origin: { source: found.source, bumpRevision } } : found;
  }
  const member = members.find(({ metadata }) => metadata.name === survivor.member);
  const volume = volumes.find(({ name }) => name === member?.spec.volumeName);
  const isUsable = volume !== undefined && !volume.isLost && !volume.isTerminating && !volume.isQuarantined;
  if (!isUsable) {
    return { ok: false, isFinal: true, message: `there is no member ${survivor.member} with a volume` };
  }
  return { ok: true, origin: { survivor: { volumeName: volume.name }, bumpRevision } };
}

export type FoundOrigin =
  | { readonly ok: true; readonly origin: RestoreOrigin | undefined }
  | { readonly ok: false; readonly message: string };

/** What a cluster that is formed begins with: a snapshot, or nothing. */
export function originOf({ cluster, snapshots }: Observation): FoundOrigin {
  const declared = cluster.spec.bootstrap?.restoreFrom;
  if (declared === undefined) return { ok: true, origin: undefined };
  const found = findSource(declared, snapshots);
  if (!found.ok) return found;
  return { ok: true, origin: { source: found.source, bumpRevision: declared.bumpRevision } };
}
