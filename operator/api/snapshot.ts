// EtcdLikeSnapshot: one snapshot of a cluster, taken once, and the record of where it is and whether it is sound.
import { destination } from "./artifact.ts";
import { conditions } from "./conditions.ts";
import { dateTime, type Infer, integer, object, oneOf, optional, string } from "./schema.ts";

const large = (description: string) => integer({ description, minimum: 0, format: "int64" });

/** Longer ones leave no room for what the names of Jobs and Pods add. */
export const snapshotNameMax = 52;

export const clusterRef = object(
  {
    name: string({
      description: "Name of an EtcdLikeCluster of the same namespace.",
      minLength: 1,
      maxLength: 43,
    }),
  },
  { description: "The cluster." },
);

export const snapshotRef = object(
  {
    name: string({
      description: "Name of an EtcdLikeSnapshot of the same namespace.",
      minLength: 1,
      maxLength: 253,
    }),
  },
  { description: "A snapshot that was taken and not found damaged." },
);

export const deletionPolicy = (fallback: "Retain" | "Delete") =>
  oneOf(["Retain", "Delete"], {
    description: "What becomes of the stored file when this object is deleted.",
    default: fallback,
  });

export const deadline = integer({
  description: "How long the Job may take, its retries included.",
  minimum: 30,
  maximum: 86_400,
  default: 3_600,
});

export const snapshotSpec = object(
  {
    clusterRef,
    destination,
    deletionPolicy: deletionPolicy("Retain"),
    activeDeadlineSeconds: deadline,
  },
  {
    description: "What is taken and where it is put. It cannot change.",
    rules: [{ rule: "self == oldSelf", message: "the spec of a snapshot cannot change" }],
  },
);

export type SnapshotSpec = Infer<typeof snapshotSpec>;

export const snapshotStatus = object(
  {
    phase: optional(
      oneOf(["Pending", "Running", "Succeeded", "Failed"], { description: "Where it stands." }),
    ),
    artifact: optional(
      object(
        {
          uri: string({ description: "Where the file is.", maxLength: 2048 }),
          sizeBytes: large("Size of the file."),
          sha256: string({ description: "SHA-256 of the file, in hexadecimal.", maxLength: 64 }),
        },
        { description: "The stored file." },
      ),
    ),
    revision: optional(large("Revision of the store it holds.")),
    hash: optional(large("HashKV at that revision.")),
    totalKeys: optional(large("Keys that exist at that revision.")),
    storageVersion: optional(string({ description: "Version of the storage.", maxLength: 32 })),
    clusterId: optional(string({ description: "Cluster id in hexadecimal.", maxLength: 16 })),
    member: optional(string({ description: "The member it was taken from.", maxLength: 253 })),
    startedAt: optional(dateTime("When the Job was made.")),
    completedAt: optional(dateTime("When the file was stored, or given up.")),
    verifiedAt: optional(dateTime("When it was last verified, with whatever outcome.")),
    verifyRequest: optional(
      string({
        description: "The value of the annotation etcdlike.io/verify that was answered last.",
        maxLength: 253,
      }),
    ),
    conditions: optional(conditions),
  },
  { description: "What has become of it." },
);

export type SnapshotStatus = Infer<typeof snapshotStatus>;
