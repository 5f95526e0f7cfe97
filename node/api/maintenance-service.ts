// Maintenance: what a member says of itself, hashes over what it stores, alarms.

import type { DefragmentOutcome } from "../lib/backend.ts";
import { nodeId, noNode } from "../lib/ids.ts";
import { compatibleVersion } from "../lib/version.ts";
import type { HashKv, HashKvJob } from "../mvcc/hash-kv.ts";
import {
  AlarmAction,
  type AlarmRequest,
  type AlarmResponse,
  AlarmType,
  type DefragmentRequest,
  type DefragmentResponse,
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
import { ApiError, apiError, apiErrors } from "./errors.ts";
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
      storageVersion: replica.applier.storageVersion,
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

  /** Of this member alone, which goes on serving meanwhile. */
  async defragment(_request: DefragmentRequest): Promise<DefragmentResponse> {
    const { replica } = this.#api;
    const outcome = await new Promise<DefragmentOutcome>((resolve) => replica.defragment(resolve));
    if (!outcome.ok) throw defragmentError(outcome);
    return { header: undefined };
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

/** etcd hands on whatever its store says as Unknown. */
function defragmentError(outcome: DefragmentOutcome & { readonly ok: false }): ApiError {
  switch (outcome.reason) {
    case "underWay":
      return new ApiError("Unknown", "another defragmentation is under way");
    case "interrupted":
      return new ApiError("Unknown", "the store was replaced or closed during the defragmentation");
    case "noSpace": {
      const { neededBytes, availableBytes } = outcome;
      const text = `defragmentation needs ${neededBytes} bytes of free disk, ${availableBytes} are available`;
      return new ApiError("ResourceExhausted", text);
    }
    case "failed":
      return new ApiError("Unknown", `defragmentation failed: ${outcome.text}`);
  }
}
