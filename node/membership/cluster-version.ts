// The version of the cluster: what every member can speak, decided by the leader and stored. Only major and minor
// count; the text always ends in ".0".

import { assert } from "../lib/assert.ts";

export interface ClusterVersion {
  readonly major: number;
  readonly minor: number;
}

/** What a leader decides on while it does not know the release of every member. */
export const lowestClusterVersion: ClusterVersion = { major: 3, minor: 0 };

/** Of "3.6.14" or "3.6.0-rc.1"; undefined for what is not a whole version. */
export function parseVersion(text: string): ClusterVersion | undefined {
  const match = /^(\d{1,9})\.(\d{1,9})\.\d{1,9}(?:[-+].*)?$/.exec(text);
  return match === null ? undefined : { major: Number(match[1]), minor: Number(match[2]) };
}

/** For a text that was looked at before, or is a constant. */
export function versionOf(text: string): ClusterVersion {
  const version = parseVersion(text);
  assert(version !== undefined, "a cluster version has the form of 3.6.0", { text });
  return version;
}

export function formatVersion({ major, minor }: ClusterVersion): string {
  return `${major}.${minor}.0`;
}

/** Negative when `a` is the older one. */
export function compareVersions(a: ClusterVersion, b: ClusterVersion): number {
  return a.major - b.major || a.minor - b.minor;
}

/** A cluster goes down by one minor version at a time. */
export function isDowngrade(from: ClusterVersion, to: ClusterVersion): boolean {
  return to.major === from.major && to.minor === from.minor - 1;
}

/** A downgrade of the cluster that somebody has asked for. */
export type Downgrade = { readonly isEnabled: false } | { readonly isEnabled: true; readonly target: string };

export interface VersionDecision {
  readonly current: ClusterVersion | undefined;
  readonly downgrade: Downgrade;
  /** The releases of all members, undefined for one that did not answer. Never empty. */
  readonly releases: readonly (string | undefined)[];
}

/** The version that the leader sets now, undefined when it stays. The rules are etcd's. */
export function decideClusterVersion({
  current,
  downgrade,
  releases,
}: VersionDecision): ClusterVersion | undefined {
  const lowest = lowestRelease(releases);
  if (current === undefined) return lowest ?? lowestClusterVersion;
  if (lowest === undefined) return undefined;
  if (!downgrade.isEnabled) {
    return lowest.major === current.major && lowest.minor > current.minor ? lowest : undefined;
  }
  const target = versionOf(downgrade.target);
  return isDowngrade(current, target) && isDowngrade(lowest, target) ? target : undefined;
}

/** Whether all members run the version that was asked for: then the leader ends the downgrade, as etcd does. */
export function isDowngradeOver(downgrade: Downgrade, releases: readonly (string | undefined)[]): boolean {
  if (!downgrade.isEnabled) return false;
  const target = versionOf(downgrade.target);
  return releases.every((release) => {
    const version = release === undefined ? undefined : parseVersion(release);
    return version !== undefined && compareVersions(version, target) === 0;
  });
}

/** Undefined when one of them is not known. */
function lowestRelease(releases: readonly (string | undefined)[]): ClusterVersion | undefined {
  assert(releases.length > 0, "a cluster has members");
  let lowest: ClusterVersion | undefined;
  for (const release of releases) {
    const version = release === undefined ? undefined : parseVersion(release);
    if (version === undefined) return undefined;
    if (lowest === undefined || compareVersions(version, lowest) < 0) lowest = version;
  }
  return lowest;
}
