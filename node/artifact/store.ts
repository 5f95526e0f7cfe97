// Where artifacts are kept, as a port. An artifact is written once and never changed.

import { FileStore } from "./file-store.ts";
import type { ArtifactLocation } from "./location.ts";

export interface ArtifactStore {
  /** Whether something is there. Rejects when that cannot be found out. */
  exists(): Promise<boolean>;
  /** Appears whole or not at all; false, and nothing changed, when something is there already. */
  write(pieces: AsyncIterable<Uint8Array>): Promise<boolean>;
  /** The bytes in order. Rejects with an Error that says so when nothing is there. */
  read(): AsyncIterable<Uint8Array>;
  /** Also when nothing is there. */
  remove(): Promise<void>;
}

export async function openStore(location: ArtifactLocation): Promise<ArtifactStore> {
  if (location.kind === "file") return new FileStore(location.path);
  // Loaded only for those who use it: it is large.
  const { S3Store } = await import("./s3-store.ts");
  return new S3Store(location);
}
