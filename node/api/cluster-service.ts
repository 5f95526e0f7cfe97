// The members of the cluster, as clients see them.

import type { Member } from "../membership/member.ts";
import { codecs } from "../wire/codecs.ts";
import type { MemberListRequest, MemberListResponse, Member as MemberMessage } from "../wire/rpc.ts";
import type { MemberApi } from "./member-api.ts";

export class ClusterService {
  readonly #api: MemberApi;

  constructor(api: MemberApi) {
    this.#api = api;
  }

  async memberList({ linearizable }: MemberListRequest): Promise<MemberListResponse> {
    if (linearizable) await this.#api.readBarrier();
    const members = this.#api.replica.members.list().map(memberMessage);
    // etcd's answer carries no revision.
    return { header: this.#api.header(0), members };
  }
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
