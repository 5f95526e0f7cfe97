// A membership change as the log holds it, and whether it may be made. The same rules stand twice: in front of a
// proposal, to answer its client at once, and when the entry is applied, where they decide, on every member alike.

import { assert, never } from "../lib/assert.ts";
import { textOf, utf8 } from "../lib/bytes.ts";
import type { NodeId } from "../lib/ids.ts";
import type { ConfChange } from "../wire/raft.ts";
import { decodeMember, encodeMember, type Member } from "./member.ts";
import type { Members } from "./members.ts";

export type MembershipChange =
  | { readonly kind: "add"; readonly member: Member }
  | { readonly kind: "promote"; readonly id: NodeId }
  | { readonly kind: "remove"; readonly id: NodeId }
  | { readonly kind: "update"; readonly id: NodeId; readonly peerUrls: readonly string[] };

/** Why a change is not made, named as the error that a client gets for it. */
export type ChangeRefusal =
  | "memberExists"
  | "memberNotFound"
  | "memberNotLearner"
  | "peerUrlExists"
  | "tooManyLearners";

export function idOf(change: MembershipChange): NodeId {
  return change.kind === "add" ? change.member.id : change.id;
}

/** In the order in which etcd looks. Undefined: it may be made. `learnersMax` is `--max-learners`. */
export function refusalOfChange(
  members: Members,
  change: MembershipChange,
  learnersMax: number,
): ChangeRefusal | undefined {
  const id = idOf(change);
  // An id that was a member's once is never used again; clients hear that there is none.
  if (members.isRemoved(id)) return "memberNotFound";
  const known = members.get(id);
  switch (change.kind) {
    case "add": {
      const { member } = change;
      if (known !== undefined) return "memberExists";
      if (hasUrlOf(members, id, member.peerUrls)) return "peerUrlExists";
      const learners = members.list().filter((one) => one.isLearner).length;
      return member.isLearner && learners >= learnersMax ? "tooManyLearners" : undefined;
    }
    case "promote":
      if (known === undefined) return "memberNotFound";
      return known.isLearner ? undefined : "memberNotLearner";
    case "remove":
      return known === undefined ? "memberNotFound" : undefined;
    case "update":
      if (known === undefined) return "memberNotFound";
      return hasUrlOf(members, id, change.peerUrls) ? "peerUrlExists" : undefined;
    default:
      return never(change);
  }
}

/** Another member is reached under one of these URLs. */
function hasUrlOf(members: Members, id: NodeId, peerUrls: readonly string[]): boolean {
  return members
    .list()
    .some((member) => member.id !== id && member.peerUrls.some((url) => peerUrls.includes(url)));
}

/** What is proposed for the change, in etcd's bytes. `id` is the request's. */
export function confChangeOf(change: MembershipChange, id: bigint): ConfChange {
  switch (change.kind) {
    case "add": {
      const { member } = change;
      const type = member.isLearner ? "ConfChangeAddLearnerNode" : "ConfChangeAddNode";
      return { id, type, nodeId: member.id, context: contextOf(member, false) };
    }
    case "promote": {
      // etcd sends the id alone, and reads nothing else.
      const member: Member = { id: change.id, name: "", peerUrls: [], clientUrls: [], isLearner: false };
      return { id, type: "ConfChangeAddNode", nodeId: change.id, context: contextOf(member, true) };
    }
    case "remove":
      return { id, type: "ConfChangeRemoveNode", nodeId: change.id, context: utf8("") };
    case "update": {
      const { peerUrls } = change;
      const member: Member = { id: change.id, name: "", peerUrls, clientUrls: [], isLearner: false };
      return { id, type: "ConfChangeUpdateNode", nodeId: change.id, context: utf8(encodeMember(member)) };
    }
    default:
      return never(change);
  }
}

/** Reads what `confChangeOf` and etcd write. Throws an Error that carries the context when it is not a member. */
export function changeOf({ type, nodeId, context }: ConfChange): MembershipChange {
  if (type === "ConfChangeRemoveNode") return { kind: "remove", id: nodeId };
  const { isPromote, ...member } = decodeMember(textOf(context));
  assert(member.id === nodeId, "a membership change is about one member", { nodeId, member: member.id });
  if (type === "ConfChangeUpdateNode") return { kind: "update", id: nodeId, peerUrls: member.peerUrls };
  return isPromote ? { kind: "promote", id: nodeId } : { kind: "add", member };
}

function contextOf(member: Member, isPromote: boolean): Uint8Array {
  const text = encodeMember(member);
  return utf8(isPromote ? `${text.slice(0, -1)},"isPromote":true}` : text);
}
