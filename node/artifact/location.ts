// Artifacts: snapshot files where they are kept, in an object store or on a mounted volume. This folder takes them from
// a member, puts them there, fetches them again and proves that they can be restored. It is what the Jobs of the operator
// run, and works by hand as well. It knows nothing of Kubernetes. Tested on files here, and on a real S3 server and real
// members in test/e2e/artifact.

/** Where one artifact is kept. */
export type ArtifactLocation =
  | { readonly kind: "s3"; readonly bucket: string; readonly key: string; readonly server: S3Server }
  | { readonly kind: "file"; readonly path: string };

/** Which server speaks S3. Credentials are those that AWS' libraries find, in the environment among others. */
export interface S3Server {
  /** URL; undefined for AWS itself. */
  readonly endpoint: string | undefined;
  readonly region: string;
  /** The bucket in the path instead of in the host name. */
  readonly isPathStyle: boolean;
}

/** `s3://BUCKET/KEY` or a path. Throws an Error that says what is wrong. */
export function parseLocation(text: string, server: S3Server): ArtifactLocation {
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(text)?.[1];
  if (scheme === undefined) {
    if (text === "") throw new Error("the location of the artifact is empty");
    return { kind: "file", path: text };
  }
  const match = /^s3:\/\/([^/]+)\/(.+)$/.exec(text);
  if (match === null) throw new Error(`an artifact is at s3://BUCKET/KEY or at a path, not at "${text}"`);
  const [, bucket, key] = match as unknown as [string, string, string];
  return { kind: "s3", bucket, key, server };
}

export function uriOf(location: ArtifactLocation): string {
  return location.kind === "s3" ? `s3://${location.bucket}/${location.key}` : `file://${location.path}`;
}
