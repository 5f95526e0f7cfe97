// EtcdLikeDefrag: one run over the members of a cluster that gives free space of their stores back to the disk.
// Written by a user, or by the operator where the cluster's spec.maintenance.defrag says so.
import { conditions } from "./conditions.ts";
import {
  boolean,
  dateTime,
  type Infer,
  integer,
  list,
  object,
  oneOf,
  optional,
  quantity,
  string,
} from "./schema.ts";

const name = (description: string) => string({ description, maxLength: 253 });
const bytes = (description: string) => integer({ description, minimum: 0, format: "int64" });
const space = (description: string, fallback?: string) =>
  quantity({
    description,
    ...(fallback === undefined ? {} : { default: fallback }),
    rules: [
      { rule: "!quantity(string(self)).isLessThan(quantity('0'))", message: "the amount is not negative" },
    ],
  });

/** Which members are worth it; shared by single runs and the policy of a cluster. */
export const thresholds = {
  freeSpaceAbove: optional(space("Members whose store has at least this much free space.")),
  quotaUsageAbove: optional(
    string({
      description: "Members whose store takes at least this part of its quota, such as 80%.",
      maxLength: 4,
      pattern: "^([1-9][0-9]?|100)%$",
    }),
  ),
  minReclaim: space("Members that would free less are left alone by both.", "32Mi"),
} as const;

const rule = object(
  {
    all: boolean({ description: "Every member, however little it would free.", default: false }),
    ...thresholds,
  },
  {
    description: "Which members are defragmented.",
    rules: [
      {
        rule: "self.all != (has(self.freeSpaceAbove) || has(self.quotaUsageAbove))",
        message: "a rule is either all, or freeSpaceAbove, quotaUsageAbove or both",
      },
    ],
  },
);

export type DefragRule = Infer<typeof rule>;

export const defragSpec = object(
  {
    clusterRef: object(
      { name: string({ description: "Name of the EtcdLikeCluster.", minLength: 1, maxLength: 253 }) },
      { description: "The cluster, in the same namespace." },
    ),
    rule,
    memberTimeoutSeconds: integer({
      description: "How long one member may take before its part of the run has failed.",
      minimum: 10,
      maximum: 86_400,
      default: 3_600,
    }),
    ttlSecondsAfterFinished: optional(
      integer({
        description: "The object is deleted this long after the run is over; kept without it.",
        minimum: 0,
        maximum: 31_536_000,
      }),
    ),
  },
  {
    description: "What is to be done. It cannot change.",
    rules: [{ rule: "self == oldSelf", message: "a run cannot change; create another" }],
  },
);

export type DefragSpec = Infer<typeof defragSpec>;

const memberOutcome = object(
  {
    name: name("Name of the member."),
    role: oneOf(["Leader", "Follower", "Learner"], { description: "Its part when the run began." }),
    outcome: oneOf(["Pending", "Running", "Defragmented", "Skipped", "Failed"], {
      description: "What came of it.",
    }),
    reason: optional(string({ description: "Why it was skipped or failed.", maxLength: 512 })),
    dbSizeBytesBefore: bytes("Size of its store before."),
    dbSizeBytesAfter: optional(bytes("Size of its store after.")),
  },
  { description: "One member." },
);

export type DefragOutcome = Infer<typeof memberOutcome>;

export const defragStatus = object(
  {
    phase: optional(
      oneOf(["Pending", "Running", "Succeeded", "PartiallySucceeded", "Failed"], {
        description: "Where the run stands. PartiallySucceeded: some members failed, some did not.",
      }),
    ),
    message: optional(string({ description: "What it waits for, or why it failed.", maxLength: 1_024 })),
    startedAt: optional(dateTime("When the members were chosen.")),
    completedAt: optional(dateTime("When it was over.")),
    members: optional(list(memberOutcome, { description: "Every member.", maxItems: 20, keys: ["name"] })),
    reclaimedBytes: optional(bytes("What all members together gave back.")),
    conditions: optional(conditions),
  },
  { description: "How it goes." },
);

export type DefragStatus = Infer<typeof defragStatus>;
