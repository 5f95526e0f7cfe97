// What a store may hold that this version cannot serve. It is looked for wherever a store comes from outside: at the
// start, and in a snapshot that another member sent.

import type { Backend } from "../lib/backend.ts";
import { textOf, utf8 } from "../lib/bytes.ts";
import { FatalError } from "../lib/fatal.ts";
import { compatibleClusterVersion } from "../lib/version.ts";
import { compareVersions, parseVersion, versionOf } from "../membership/cluster-version.ts";

const authEnabledKey = utf8("authEnabled");
const clusterVersionKey = utf8("clusterVersion");

/** Throws FatalError UNKNOWN_ENTRY, which names what it is. Nothing is changed. */
export function refuseForeignState(backend: Pick<Backend, "get">): void {
  // Serving it without its users and roles would let everybody read and write everything.
  if (backend.get("auth", authEnabledKey)?.[0] === 1) {
    throw new FatalError(
      "UNKNOWN_ENTRY",
      "the store has authentication enabled (auth/authEnabled), and this version has no authentication",
    );
  }
  const text = backend.get("cluster", clusterVersionKey);
  const version = text === undefined ? undefined : parseVersion(textOf(text));
  if (version !== undefined && compareVersions(version, versionOf(compatibleClusterVersion)) > 0) {
    throw new FatalError(
      "UNKNOWN_ENTRY",
      `the store is of a cluster at version ${textOf(text as Uint8Array)}, above ${compatibleClusterVersion}, ` +
        "the highest of this version; lower it first with: etcdctl downgrade enable 3.6",
    );
  }
}
