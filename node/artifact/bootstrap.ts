// A new cluster's first member from an artifact.

import { join } from "node:path";
import { type Bootstrapped, type FirstMemberOptions, formFirstMember } from "./first-member.ts";
import type { ArtifactStore } from "./store.ts";
import { digestFault, fetchTo, mayLackSum } from "./verify.ts";

export interface BootstrapOptions extends FirstMemberOptions {
  readonly store: ArtifactStore;
  /** Lower-case hexadecimal; undefined when it is not known. */
  readonly sha256: string | undefined;
}

/** Rejects with an Error that says why not, and the data directory is empty then. */
export function bootstrap(options: BootstrapOptions): Promise<Bootstrapped> {
  return formFirstMember(options, async (folder) => {
    const path = join(folder, "artifact.db");
    const digest = await fetchTo(options.store, path);
    const fault = digestFault(digest, options.sha256);
    if (fault !== undefined) throw new Error(`the artifact is refused: ${fault.message}`);
    return { path, digest, skipHashCheck: mayLackSum(path, options.sha256 !== undefined) };
  });
}
