// What a run draws before it begins: how large the cluster is, how its members are set, and how bad its network is.

import type { Random } from "../../../node/lib/random.ts";
import type { NetworkSettings } from "./network.ts";
import type { MemberSettings } from "./sim-member.ts";

export interface ClusterSettings {
  readonly voterCount: number;
  readonly member: MemberSettings;
  readonly network: NetworkSettings;
}

export function drawSettings(random: Random): ClusterSettings {
  const pick = <T>(...choices: readonly T[]): T => choices[random.below(choices.length)] as T;
  return {
    voterCount: pick(1, 3, 3, 3, 5),
    member: {
      snapshotCount: pick(20, 100, 10_000),
      snapshotCatchupEntries: pick(1, 20, 5_000),
      segmentBytes: pick(4_096, 65_536),
      flushIntervalMs: pick(20, 100, 1_000),
      electionTicks: pick(10, 10, 4),
      preVote: pick(true, true, false),
      hasLeaseCheckpoints: pick(true, false),
      logStepMsMax: pick(2, 10, 60),
      flushMsMax: pick(5, 100),
    },
    network: {
      drop: pick(0, 0, 5, 25),
      duplicate: pick(0, 5, 30),
      delayMsMax: pick(2, 10, 80),
      clog: pick(0, 0, 2),
      replay: pick(0, 0, 5, 20),
    },
  };
}
