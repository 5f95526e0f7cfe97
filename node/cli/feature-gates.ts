// etcd's feature gates: names, stages and defaults of 3.6, and which of them this member can turn on.

import type { Parsed } from "./values.ts";

export const featureGates = {
  AllAlpha: { stage: "ALPHA", default: false },
  AllBeta: { stage: "BETA", default: false },
  CompactHashCheck: { stage: "ALPHA", default: false },
  InitialCorruptCheck: { stage: "ALPHA", default: false },
  LeaseCheckpoint: { stage: "ALPHA", default: false },
  LeaseCheckpointPersist: { stage: "ALPHA", default: false },
  SetMemberLocalAddr: { stage: "ALPHA", default: false },
  StopGRPCServiceOnDefrag: { stage: "ALPHA", default: false },
  TxnModeWriteWithSharedBuffer: { stage: "BETA", default: true },
} as const;

export type FeatureGate = keyof typeof featureGates;

export type FeatureGates = Readonly<Record<FeatureGate, boolean>>;

/**
 * Gates that cannot be turned on yet. The two hash checks are not among them, though nothing compares members yet:
 * manifests written for etcd turn them on. Nor is StopGRPCServiceOnDefrag: calls are served all the time.
 */
export const unbuiltGates: ReadonlyMap<FeatureGate, string> = new Map([
  ["SetMemberLocalAddr", "choosing the local address of peer connections is not built yet"],
]);

/** "A=true,B=false" to the gates it names. */
export function parseGates(text: string): Parsed<ReadonlyMap<FeatureGate, boolean>> {
  const gates = new Map<FeatureGate, boolean>();
  for (const part of text.split(",").filter((word) => word.trim() !== "")) {
    const [name = "", value] = part.split("=", 2).map((word) => word.trim());
    if (value === undefined) return { ok: false, error: `missing bool value for ${name}` };
    const isOn = ["1", "t", "T", "TRUE", "true", "True"].includes(value);
    if (!isOn && !["0", "f", "F", "FALSE", "false", "False"].includes(value)) {
      return {
        ok: false,
        error: `invalid value of ${name}=${value}, err: strconv.ParseBool: parsing "${value}": invalid syntax`,
      };
    }
    if (!isGate(name)) return { ok: false, error: `unrecognized feature gate: ${name}` };
    gates.set(name, isOn);
  }
  return { ok: true, value: gates };
}

/** Every gate with its value: what was named, else what AllAlpha or AllBeta say for its stage, else the default. */
export function resolveGates(named: ReadonlyMap<FeatureGate, boolean>): FeatureGates {
  const resolved = {} as Record<FeatureGate, boolean>;
  for (const name of Object.keys(featureGates) as FeatureGate[]) {
    const { stage, default: standard } = featureGates[name];
    const whole = named.get(stage === "ALPHA" ? "AllAlpha" : "AllBeta");
    resolved[name] = named.get(name) ?? (whole === true ? true : standard);
  }
  return resolved;
}

function isGate(name: string): name is FeatureGate {
  return Object.hasOwn(featureGates, name);
}
