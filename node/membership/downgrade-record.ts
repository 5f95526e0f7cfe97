// A downgrade as etcd stores it: a JSON document in the bucket `cluster`.

import { type Downgrade, parseVersion } from "./cluster-version.ts";
import { jsonString } from "./member.ts";

/** etcd's bytes. */
export function encodeDowngrade(downgrade: Downgrade): string {
  const target = downgrade.isEnabled ? downgrade.target : "";
  return `{"target-version":${jsonString(target)},"enabled":${downgrade.isEnabled}}`;
}

/** Throws an Error that carries the text when it is not a downgrade. */
export function decodeDowngrade(text: string): Downgrade {
  const value: unknown = JSON.parse(text);
  const fields = (typeof value === "object" && value !== null ? value : {}) as Readonly<
    Record<string, unknown>
  >;
  if (fields["enabled"] !== true) return { isEnabled: false };
  const target = fields["target-version"];
  if (typeof target !== "string" || parseVersion(target) === undefined) {
    throw new Error(`not a downgrade, expected a target-version like 3.5.0: ${text}`);
  }
  return { isEnabled: true, target };
}
