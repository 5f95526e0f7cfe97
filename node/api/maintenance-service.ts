// Maintenance: what a member says of itself, hashes over what it stores, alarms.

import { nodeId, noNode } from "../lib/ids.ts";
import { compatibleVersion, storageVersion } from "../lib/version.ts";
import type { HashKv, HashKvJob } from "../mvcc/hash-kv.ts";
import {
  AlarmAction,
  type AlarmRequest,
  type AlarmResponse,
  AlarmType,
  DowngradeAction,
  type DowngradeRequest,
  type DowngradeResponse,
  type HashKVRequest,
  type HashKVResponse,
  type HashRequest,
  type HashResponse,
  type MoveLeaderRequest,
  type MoveLeaderResponse,
  type StatusRequest,
  type StatusResponse,
} from "../wire/rpc.ts";
import type { Call } from "./call.ts";
import { apiError, apiErrors } from "./errors.ts";
import { revisionError } from "./kv-service.ts";
import { moveLeadership } from "./leadership.ts";
import { type MemberApi, readSlice } from "./member-api.ts";

const alarmNames: ReadonlyMap<number, string> = new Map(
  Object.entries(AlarmType).map(([name, number]) => [number, name]),
);

export class MaintenanceService {
  readonly #api: MemberApi;

  constructor(api: MemberApi) {
    this.#api = api;
  }

  status(_request: StatusRequest): StatusResponse {
    const { replica, options } = this.#api;
    const { sizeBytes, sizeInUseBytes } = replica.sizes;
    const { downgrade } = replica.members;
    return {
      header: this.#api.header(this.#api.currentRevision),
      version: compatibleVersion,
      dbSize: sizeBytes,
      leader: replica.leader,
      raftIndex: replica.committedIndex,
      raftTerm: replica.term,
      raftAppliedIndex: replica.appliedIndex,
      errors: this.#errors(),
      dbSizeInUse: sizeInUseBytes,
      isLearner: replica.isLearner,
      storageVersion,
      dbSizeQuota: options.quotaBytes,
      downgradeInfo: {
        enabled: downgrade.isEnabled,
        targetVersion: downgrade.isEnabled ? downgrade.target : "",
      },
    };
  }

  async hash(_request: HashRequest, call: Call): Promise<HashResponse> {
    const { clock, metrics } = this.#api.options;
    const startedMs = clock.nowMs();
    const job = this.#api.replica.store.startHashAll();
    try {
      await this.#api.inSlices(() => job.step(readSlice), call);
      metrics.hashSeconds.observe((clock.nowMs() - startedMs) / 1000);
      return { header: this.#api.header(this.#api.currentRevision), hash: job.result() };
    } finally {
      job.close();
    }
  }

  async hashKV({ revision }: HashKVRequest, call: Call): Promise<HashKVResponse> {
    const { clock, metrics } = this.#api.options;
    const startedMs = clock.nowMs();
    const started = this.#api.replica.store.startHashKv(revision);
    if (!started.ok) throw revisionError(started);
    const hash = "known" in started ? started.known : await this.#hashInSlices(started.job, call);
    metrics.hashRevSeconds.observe((clock.nowMs() - startedMs) / 1000);
    return { header: this.#api.header(this.#api.currentRevision), ...hash };
  }

  async alarm(request: AlarmRequest): Promise<AlarmResponse> {
    const { replica } = this.#api;
    if (request.action === AlarmAction.GET) {
      const alarms = replica.applier.alarms.raised(request.alarm);
      return { header: this.#api.header(this.#api.currentRevision), alarms };
    }
    const { revision, applied } = await this.#api.propose({ alarm: request }, "alarm");
    return { header: this.#api.header(revision), alarms: applied.alarms };
  }

  async downgrade({ action, version }: DowngradeRequest): Promise<DowngradeResponse> {
    const { members } = this.#api.replica;
    if (action === DowngradeAction.CANCEL) {
      await this.#api.readBarrier();
      if (!members.downgrade.isEnabled) throw apiError("noInflightDowngrade");
      await this.#api.propose({ downgradeInfoSet: { enabled: false, ver: "" } }, "membership");
    } else {
      const target = await this.#downgradeTarget(version);
      if (action === DowngradeAction.ENABLE) {
        await this.#api.propose({ downgradeInfoSet: { enabled: true, ver: target } }, "membership");
      }
    }
    const [major, minor] = (members.clusterVersion ?? "").split(".");
    const header = this.#api.header(this.#api.currentRevision);
    return { header, version: `${major}.${minor}` };
  }

  /** The version in its long form. Throws an ApiError for one that the cluster cannot go to. */
  async #downgradeTarget(version: string): Promise<string> {
    const match = /^(\d{1,4})\.(\d{1,4})(?:\.\d{1,4})?$/.exec(version);
    if (match === null) throw apiError("wrongDowngradeVersionFormat");
    const { members } = this.#api.replica;
    if (members.clusterVersion === undefined) throw apiError("clusterVersionUnavailable");
    await this.#api.readBarrier();
    const [major = 0, minor = 0] = members.clusterVersion.split(".").map(Number);
    if (Number(match[1]) !== major || Number(match[2]) !== minor - 1) {
      throw apiError("invalidDowngradeTargetVersion");
    }
    if (members.downgrade.isEnabled) throw apiError("downgradeInProcess");
    return `${match[1]}.${match[2]}.0`;
  }

  /** Of the leader alone. Resolves when the other one leads. */
  async moveLeader({ targetID }: MoveLeaderRequest, call: Call): Promise<MoveLeaderResponse> {
    const { replica } = this.#api;
    if (!replica.isLeader) throw apiError("notLeader");
    const target = replica.members.get(nodeId(targetID));
    if (target === undefined || target.isLearner) throw apiError("badLeaderTransferee");
    await moveLeadership(this.#api, target.id, call);
    return { header: undefined };
  }

  async #hashInSlices(job: HashKvJob, call: Call): Promise<HashKv> {
    try {
      await this.#api.inSlices(() => job.step(readSlice), call);
      return job.result();
    } finally {
      job.close();
    }
  }

  #errors(): readonly string[] {
    const { replica } = this.#api;
    const alarms = replica.applier.alarms
      .raised()
      .map(
        ({ memberID, alarm }) =>
          `memberID:${BigInt.asUintN(64, memberID)} alarm:${alarmNames.get(alarm) ?? alarm} `,
      );
    return replica.leader === noNode ? [apiErrors.noLeader.message, ...alarms] : alarms;
  }
}
