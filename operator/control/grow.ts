// Volumes follow spec.storage.size upwards. Whether a volume can grow is the storage class's business: the API
// server refuses at once where it cannot, and that refusal is kept on the claim, so it is not asked for all the time.
import type { Condition } from "../api/conditions.ts";
import { amountOf } from "../lib/quantity.ts";
import type { VolumeFact } from "../model/observation.ts";
import { act, type Step } from "./decision.ts";
import type { MemberView, View } from "./view.ts";

/** How long a refusal counts: somebody may have changed the class since. */
const refusalMs = 600_000;

/** Nothing is stopped for it, so it goes on beside operations and without a quorum. */
export function stepToGrow(view: View): Step | undefined {
  const { size } = view.observation.cluster.spec.storage;
  const wantedBytes = amountOf(size);
  for (const { name, member, volume } of view.members) {
    if (member === undefined) continue;
    if (amountOf(member.spec.storage.size) < wantedBytes) {
      return act({ kind: "UpdateMember", name, storageSize: size, why: `spec.storage.size is ${size}` });
    }
    if (!isUsable(volume) || volume.bound === undefined) continue;
    if (volume.bound.requestedBytes >= wantedBytes || isRefused(view, volume)) continue;
    const why = `it has ${volume.bound.requestedBytes} bytes, spec.storage.size is ${size}`;
    return act({ kind: "ResizeVolume", name: volume.name, size, why });
  }
  return undefined;
}

/** Whether every member has the storage that spec asks for, and what is in the way. */
export function storageVerdict(
  view: View,
): Pick<Condition, "type" | "reason" | "message"> & { readonly holds: boolean } {
  const type = "StorageReady";
  const { size } = view.observation.cluster.spec.storage;
  const wantedBytes = amountOf(size);
  const volumes = view.members.flatMap(({ volume }) => (isUsable(volume) ? [volume] : []));
  const small = (volume: VolumeFact) => (volume.bound?.requestedBytes ?? wantedBytes) < wantedBytes;
  const refused = volumes.find((volume) => small(volume) && volume.resizeRefusal !== undefined);
  if (refused?.resizeRefusal !== undefined) {
    const message = `${refused.name} cannot become ${size}: ${refused.resizeRefusal.message}`;
    return { type, holds: false, reason: "ResizeRefused", message };
  }
  const unbound = volumes.find((volume) => volume.bound === undefined);
  if (unbound !== undefined) {
    return { type, holds: false, reason: "NotBound", message: `${unbound.name} has no volume yet` };
  }
  const growing = volumes.find((volume) => small(volume) || (volume.bound?.capacityBytes ?? 0) < wantedBytes);
  if (growing?.bound !== undefined) {
    const { capacityBytes, isFileSystemPending } = growing.bound;
    const rest = isFileSystemPending ? ", its file system waits for the node" : "";
    const message = `${growing.name} has ${capacityBytes} bytes and grows to ${size}${rest}`;
    return { type, holds: false, reason: "Resizing", message };
  }
  const isComplete = view.members.length > 0 && volumes.length === view.members.length;
  return isComplete
    ? { type, holds: true, reason: "Sized", message: `every member has ${size}` }
    : { type, holds: false, reason: "Incomplete", message: "members without a volume" };
}

function isUsable(volume: MemberView["volume"]): volume is VolumeFact {
  return volume !== undefined && !volume.isTerminating && !volume.isQuarantined && !volume.isLost;
}

function isRefused(view: View, { resizeRefusal: refusal }: VolumeFact): boolean {
  const { nowMs, cluster } = view.observation;
  if (refusal === undefined || refusal.size !== String(cluster.spec.storage.size)) return false;
  return nowMs - refusal.atMs < refusalMs;
}
