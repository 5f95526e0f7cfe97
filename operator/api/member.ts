// EtcdLikeMember: one member with its Pod and volume. Written by the operator; a user reads it, or deletes it to
// have the member replaced.
import { restoreOrigin } from "./artifact.ts";
import { type Infer, integer, object, oneOf, optional, quantity, string } from "./schema.ts";

const name = (description: string) => string({ description, maxLength: 253 });

export const memberSpec = object(
  {
    clusterName: name("The EtcdLikeCluster it belongs to."),
    clusterToken: name("The initial cluster token."),
    clusterId: optional(
      string({
        description:
          "Id of the formed cluster in hexadecimal: the latch that keeps this member from forming another.",
        maxLength: 16,
        pattern: "^[0-9a-f]+$",
      }),
    ),
    slot: integer({
      description: "Its place among the members, reused by its replacement.",
      minimum: 0,
      maximum: 19,
    }),
    role: oneOf(["Seed", "Joiner"], {
      description: "The seed formed the cluster; joiners were added to it.",
    }),
    initialCluster: optional(
      string({
        description: "Members it starts with, as NAME=URL pairs. Its Pod waits for it.",
        maxLength: 8192,
      }),
    ),
    restoreFrom: optional(restoreOrigin),
    volumeName: name("Name of its PersistentVolumeClaim."),
    storage: object(
      {
        size: quantity({ description: "Size of its volume." }),
        storageClassName: optional(name("Storage class of its volume.")),
      },
      { description: "Its volume." },
    ),
  },
  {
    description: "The member's identity.",
    rules: [
      {
        rule:
          "self.clusterName == oldSelf.clusterName && self.slot == oldSelf.slot && self.role == oldSelf.role && " +
          "self.volumeName == oldSelf.volumeName && self.clusterToken == oldSelf.clusterToken",
        message: "a member's identity cannot change",
      },
      {
        rule:
          "has(self.restoreFrom) == has(oldSelf.restoreFrom) && " +
          "(!has(self.restoreFrom) || self.restoreFrom == oldSelf.restoreFrom)",
        message: "what a member's data begins with cannot change",
      },
      {
        rule: "!has(oldSelf.clusterId) || (has(self.clusterId) && self.clusterId == oldSelf.clusterId)",
        message: "clusterId cannot change once it is set",
      },
    ],
  },
);

export type MemberSpec = Infer<typeof memberSpec>;

export const memberStatus = object(
  {
    memberId: optional(string({ description: "Member id in hexadecimal.", maxLength: 16 })),
    phase: optional(
      oneOf(["Pending", "Learner", "Ready", "Failed", "Stopped", "Terminating"], {
        description: "Where the member stands.",
      }),
    ),
    version: optional(name("Version it runs.")),
  },
  { description: "The member as it was last seen." },
);

export type MemberObjectStatus = Infer<typeof memberStatus>;
