// Lowering the version of the cluster, so that older members may join it. One minor version at a time: enabling it
// makes the leader lower the cluster version; cancelling lets it rise again.

import { formatVersion, isDowngrade, parseVersion, versionOf } from "../membership/cluster-version.ts";
import { DowngradeAction, type DowngradeRequest, type DowngradeResponse } from "../wire/rpc.ts";
import { ApiError, apiError } from "./errors.ts";
import type { MemberApi } from "./member-api.ts";

export class DowngradeService {
  readonly #api: MemberApi;

  constructor(api: MemberApi) {
    this.#api = api;
  }

  async downgrade({ action, version }: DowngradeRequest): Promise<DowngradeResponse> {
    switch (action) {
      case DowngradeAction.VALIDATE: {
        const target = targetOf(version);
        // The version before the check is what etcd answers with.
        const answered = this.#version();
        await this.#validate(target);
        return this.#answer(answered);
      }
      case DowngradeAction.ENABLE: {
        const target = targetOf(version);
        await this.#validate(target);
        await this.#set(true, target);
        return this.#answer(this.#version());
      }
      case DowngradeAction.CANCEL:
        await this.#api.readBarrier();
        // Where there is nothing to cancel, etcd answers as if there were.
        if (this.#api.replica.members.downgrade.isEnabled) await this.#set(false, "");
        return this.#answer(this.#version());
      default:
        throw new ApiError("Unknown", "etcdserver: unknown method");
    }
  }

  async #validate(target: string): Promise<void> {
    this.#version();
    // A downgrade that somebody has just enabled elsewhere is seen.
    await this.#api.readBarrier();
    const { downgrade } = this.#api.replica.members;
    if (!isDowngrade(versionOf(this.#version()), versionOf(target))) {
      throw apiError("invalidDowngradeTargetVersion");
    }
    if (downgrade.isEnabled) throw apiError("downgradeInProcess");
  }

  async #set(enabled: boolean, ver: string): Promise<void> {
    await this.#api.propose({ downgradeInfoSet: { enabled, ver } }, "membership");
  }

  #version(): string {
    const { clusterVersion } = this.#api.replica.members;
    if (clusterVersion === undefined) throw apiError("clusterVersionUnavailable");
    return clusterVersion;
  }

  #answer(clusterVersion: string): DowngradeResponse {
    const { major, minor } = versionOf(clusterVersion);
    return { header: this.#api.header(this.#api.currentRevision), version: `${major}.${minor}` };
  }
}

/** Clients name "3.5" or "3.5.0"; a patch version is left out. */
function targetOf(text: string): string {
  const version = parseVersion(text) ?? parseVersion(`${text}.0`);
  if (version === undefined) throw apiError("wrongDowngradeVersionFormat");
  return formatVersion(version);
}
