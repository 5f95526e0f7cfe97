// The members of the cluster: who they are, and the changes clients may make to them.

import { type NodeId, nodeId } from "../lib/ids.ts";
import type { MembershipChange } from "../membership/change.ts";
import { bootstrapMemberId, type Sha1 } from "../membership/identity.ts";
import { decodeMembers, type Member } from "../membership/member.ts";
import { parsePeerUrls } from "../membership/peer-urls.ts";
import { codecs } from "../wire/codecs.ts";
import type {
  MemberAddRequest,
  MemberAddResponse,
  MemberListRequest,
  MemberListResponse,
  Member as MemberMessage,
  MemberPromoteRequest,
  MemberPromoteResponse,
  MemberRemoveRequest,
  MemberRemoveResponse,
  MemberUpdateRequest,
  MemberUpdateResponse,
  ResponseHeader,
} from "../wire/rpc.ts";
import type { Call } from "./call.ts";
import { type ApiErrorName, apiError } from "./errors.ts";
import type { LeaderAsker, LeaderCalls } from "./leader-calls.ts";
import type { MemberApi } from "./member-api.ts";
import { Reconfiguration } from "./reconfiguration.ts";

export interface ClusterServiceOptions {
  readonly api: MemberApi;
  readonly leader: LeaderAsker;
  readonly calls: LeaderCalls;
  /** `--strict-reconfig-check`. */
  readonly isStrict: boolean;
  readonly sha1: Sha1;
  /** Seconds of the wall clock: with them a member that is added again gets another id. */
  readonly nowSeconds: () => number;
}

export class ClusterService {
  readonly #options: ClusterServiceOptions;
  readonly #api: MemberApi;
  readonly #reconfiguration: Reconfiguration;

  constructor(options: ClusterServiceOptions) {
    this.#options = options;
    this.#api = options.api;
    const { replica } = options.api;
    this.#reconfiguration = new Reconfiguration({
      replica,
      nowMs: () => options.api.options.clock.nowMs(),
      isStrict: options.isStrict,
    });
  }

  async memberList({ linearizable }: MemberListRequest): Promise<MemberListResponse> {
    if (linearizable) await this.#api.readBarrier();
    return { header: this.#header(), members: this.#api.replica.members.list().map(memberMessage) };
  }

  async memberAdd({ peerURLs, isLearner }: MemberAddRequest): Promise<MemberAddResponse> {
    const peerUrls = parsePeerUrls(peerURLs);
    if (peerUrls === undefined) throw apiError("badMemberUrls");
    const { sha1, nowSeconds } = this.#options;
    const id = bootstrapMemberId(peerUrls, String(Math.floor(nowSeconds())), sha1);
    refuse(this.#reconfiguration.refusalOfAdd({ isLearner }));
    const member: Member = { id, name: "", peerUrls, clientUrls: [], isLearner };
    const members = await this.#change({ kind: "add", member });
    return { header: this.#header(), member: memberMessage(member), members };
  }

  async memberRemove({ ID }: MemberRemoveRequest): Promise<MemberRemoveResponse> {
    const id = nodeId(ID);
    refuse(this.#reconfiguration.refusalOfRemove(id));
    const members = await this.#change({ kind: "remove", id });
    return { header: this.#header(), members };
  }

  async memberUpdate({ ID, peerURLs }: MemberUpdateRequest): Promise<MemberUpdateResponse> {
    const members = await this.#change({ kind: "update", id: nodeId(ID), peerUrls: [...peerURLs] });
    return { header: this.#header(), members };
  }

  async memberPromote({ ID }: MemberPromoteRequest, call: Call): Promise<MemberPromoteResponse> {
    const members = this.#api.replica.isLeader
      ? await this.promoteHere(ID)
      : await this.#promoteAtLeader(ID, call.metadata.get("authorization"));
    return { header: this.#header(), members: members.map(memberMessage) };
  }

  /** Promotes as the leader, and no one else; also for other members that were asked. */
  async promoteHere(ID: bigint): Promise<readonly Member[]> {
    if (!this.#api.replica.isLeader) throw apiError("notLeader");
    const id = nodeId(ID);
    refuse(this.#reconfiguration.refusalOfPromote(id));
    await this.#change({ kind: "promote", id });
    this.#api.options.metrics.learnersPromoted.increment();
    return this.#api.replica.members.list();
  }

  /** As the leader: a learner that runs, is within reach and has nearly all of the log; undefined when there is none. */
  learnerThatCaughtUp(): NodeId | undefined {
    const { replica } = this.#api;
    if (!replica.isLeader) return undefined;
    return replica.members.list().find(({ id, name, isLearner }) => {
      const isUp = isLearner && name !== "" && replica.activeSinceMs(id) !== undefined;
      return isUp && this.#reconfiguration.hasCaughtUp(id);
    })?.id;
  }

  async #promoteAtLeader(ID: bigint, authorization: string | undefined): Promise<readonly Member[]> {
    const { leader, calls } = this.#options;
    const answer = await leader.ask(async (url) => {
      const one = await calls.promote(url, nodeId(ID), authorization);
      return !one.ok && one.reason === "other" ? undefined : one;
    });
    if (answer.ok) return decodeMembers(answer.membersJson);
    switch (answer.reason) {
      case "notFound":
        throw apiError("memberNotFound");
      case "notLearner":
        throw apiError("memberNotLearner");
      case "notReady":
        throw apiError("learnerNotReady");
      default:
        throw apiError("timeout");
    }
  }

  async #change(change: MembershipChange): Promise<MemberMessage[]> {
    // Only the log decides: this member may not know yet what others were already answered.
    return new Promise((resolve, reject) => {
      this.#api.replica.proposeChange(change, (outcome) => {
        if (!outcome.ok) reject(apiError(outcome.refusal));
        else if (outcome.applied.case !== "confChange") {
          reject(new Error(`a membership change was answered as ${outcome.applied.case}`));
        } else resolve(outcome.applied.members.map(memberMessage));
      });
    });
  }

  /** etcd's answers about members carry no revision. */
  #header(): ResponseHeader {
    return this.#api.header(0);
  }
}

function refuse(name: ApiErrorName | undefined): void {
  if (name !== undefined) throw apiError(name);
}

function memberMessage({ id, name, peerUrls, clientUrls, isLearner }: Member): MemberMessage {
  return codecs.Member.create({
    ID: id,
    name,
    peerURLs: [...peerUrls],
    clientURLs: [...clientUrls],
    isLearner,
  });
}
