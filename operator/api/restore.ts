// EtcdLikeRestore: a cluster that exists gets the content of a snapshot in place of its own, or what one of its members
// is left with. Its members go, their volumes are kept, and new members begin as another cluster under the same name.
import { artifactSource, bumpRevision } from "./artifact.ts";
import { conditions } from "./conditions.ts";
import { dateTime, type Infer, integer, object, oneOf, optional, string } from "./schema.ts";
import { clusterRef, deadline, snapshotRef } from "./snapshot.ts";

/** Its Job has a name made from it. */
export const restoreNameMax = 52;

export const restoreSpec = object(
  {
    clusterRef,
    consent: string({
      description:
        "The cluster's name again: whatever was written to it since the snapshot is lost, and all of its members stop.",
      minLength: 1,
      maxLength: 43,
    }),
    snapshotRef: optional(snapshotRef),
    source: optional(artifactSource),
    survivor: optional(
      object(
        { member: string({ description: "Name of a member.", minLength: 1, maxLength: 63 }) },
        {
          description:
            "A member of the cluster whose disk is left, in place of a snapshot: what it knows as committed is kept.",
        },
      ),
    ),
    bumpRevision,
    activeDeadlineSeconds: deadline,
  },
  {
    description: "What is restored, and from where. It cannot change.",
    rules: [
      { rule: "self == oldSelf", message: "the spec of a restore cannot change" },
      {
        rule: "self.consent == self.clusterRef.name",
        message: "consent is the name of the cluster whose content is replaced",
        fieldPath: ".consent",
      },
      {
        rule: "[has(self.snapshotRef), has(self.source), has(self.survivor)].filter(given, given).size() == 1",
        message: "exactly one of snapshotRef, source and survivor is given",
      },
    ],
  },
);

export type RestoreSpec = Infer<typeof restoreSpec>;

export const restoreStatus = object(
  {
    phase: optional(
      oneOf(["Pending", "Verifying", "Restoring", "Succeeded", "Failed"], {
        description: "Where it stands.",
      }),
    ),
    revision: optional(
      integer({ description: "Revision that the snapshot holds.", minimum: 0, format: "int64" }),
    ),
    completedAt: optional(dateTime("When it ended.")),
    conditions: optional(conditions),
  },
  { description: "What has become of it." },
);

export type RestoreStatus = Infer<typeof restoreStatus>;
