// Where snapshots are kept, as several custom resources say it.
import { boolean, type Infer, integer, object, optional, type Rule, string } from "./schema.ts";

const name = (description: string) => string({ description, minLength: 1, maxLength: 253 });
const exactlyOne: readonly Rule[] = [
  { rule: "has(self.s3) != has(self.pvc)", message: "exactly one of s3 and pvc is given" },
];

const s3Server = {
  bucket: string({
    description: "Bucket.",
    minLength: 3,
    maxLength: 63,
    pattern: "^[a-z0-9][a-z0-9.-]*[a-z0-9]$",
  }),
  endpoint: optional(
    string({
      description: "URL of a server other than AWS' own.",
      maxLength: 512,
      pattern: "^https?://[^/ ]+$",
    }),
  ),
  region: string({ description: "Region.", minLength: 1, maxLength: 64, default: "us-east-1" }),
  forcePathStyle: boolean({
    description: "The bucket in the path instead of in the host name, as many servers want it.",
    default: false,
  }),
  credentialsSecretRef: object(
    { name: name("Name of a Secret with the keys AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.") },
    { description: "Who asks: a Secret of the same namespace." },
  ),
  caSecretRef: optional(
    object(
      { name: name("Name of a Secret with the key ca.crt.") },
      { description: "Authority of the server's certificate, beside the usual ones." },
    ),
  ),
};

const subPath = (description: string) =>
  string({
    description,
    minLength: 1,
    maxLength: 512,
    pattern: "^[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$",
  });

/** A place for snapshots; each gets a name of its own there. */
export const destination = object(
  {
    s3: optional(
      object(
        { ...s3Server, prefix: optional(subPath("What the keys begin with.")) },
        { description: "A store that speaks S3." },
      ),
    ),
    pvc: optional(
      object(
        {
          claimName: name("Name of a PersistentVolumeClaim of the same namespace."),
          subPath: optional(subPath("Folder in the volume.")),
        },
        { description: "A volume." },
      ),
    ),
  },
  { description: "Where the snapshot is put.", rules: exactlyOne },
);

export type Destination = Infer<typeof destination>;

/** One file that is there. */
export const artifactSource = object(
  {
    s3: optional(
      object(
        {
          ...s3Server,
          key: string({ description: "Key of the object.", minLength: 1, maxLength: 1024 }),
        },
        { description: "An object in a store that speaks S3." },
      ),
    ),
    pvc: optional(
      object(
        {
          claimName: name("Name of a PersistentVolumeClaim of the same namespace."),
          path: subPath("Path of the file in the volume."),
        },
        { description: "A file on a volume." },
      ),
    ),
    sha256: optional(
      string({
        description: "SHA-256 of the file, in hexadecimal. Without it the sum in the file itself has to do.",
        maxLength: 64,
        pattern: "^[0-9a-f]{64}$",
      }),
    ),
  },
  { description: "A snapshot file, of etcdlike or of etcd.", rules: exactlyOne },
);

export type ArtifactSource = Infer<typeof artifactSource>;

/** A watcher of before must not take the new history for the old one. */
export const bumpRevision = integer({
  description: "How far the revision moves on, everything below being compacted; 0 keeps it.",
  minimum: 0,
  maximum: 1_000_000_000_000,
  default: 1_000_000_000,
  format: "int64",
});

/** What a member's data begins with, as it was settled when the member was made. */
export const restoreOrigin = object(
  {
    source: optional(artifactSource),
    survivor: optional(
      object(
        { volumeName: name("Name of its PersistentVolumeClaim.") },
        { description: "A member of before whose data is taken over." },
      ),
    ),
    bumpRevision,
  },
  { description: "What its data begins with." },
);

export type RestoreOrigin = Infer<typeof restoreOrigin>;
