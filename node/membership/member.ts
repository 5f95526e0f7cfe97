// A member of the cluster as etcd stores it: a JSON document in the bucket `members`, in the context of a
// membership change, and on the peer endpoint `/members`. The bytes are those of etcd's own writer, because
// hashes over the store and bootstrap entries are compared between members.

import { type NodeId, nodeId } from "../lib/ids.ts";

export interface Member {
  readonly id: NodeId;
  /** Empty until the member has started and published itself. */
  readonly name: string;
  readonly peerUrls: readonly string[];
  readonly clientUrls: readonly string[];
  readonly isLearner: boolean;
}

/** What a member says of itself through the log once it runs. */
export interface MemberAttributes {
  readonly name: string;
  readonly clientUrls: readonly string[];
}

/** etcd's bytes for a member: integer id, absent when empty, HTML-safe escapes. */
export function encodeMember(member: Member): string {
  const fields = [`"id":${member.id}`, `"peerURLs":${jsonStrings(member.peerUrls)}`];
  if (member.isLearner) fields.push(`"isLearner":true`);
  if (member.name !== "") fields.push(`"name":${jsonString(member.name)}`);
  if (member.clientUrls.length > 0) fields.push(`"clientURLs":${jsonStrings(member.clientUrls)}`);
  return `{${fields.join(",")}}`;
}

/** etcd's bytes for the part of a member that Raft decides on. */
export function encodeRaftAttributes(member: Member): string {
  const learner = member.isLearner ? `,"isLearner":true` : "";
  return `{"peerURLs":${jsonStrings(member.peerUrls)}${learner}}`;
}

/** etcd's bytes for what a member published. */
export function encodeAttributes(attributes: MemberAttributes): string {
  const fields: string[] = [];
  if (attributes.name !== "") fields.push(`"name":${jsonString(attributes.name)}`);
  if (attributes.clientUrls.length > 0) fields.push(`"clientURLs":${jsonStrings(attributes.clientUrls)}`);
  return `{${fields.join(",")}}`;
}

/** Reads what `encodeAttributes` writes. Throws an Error that carries the text when it is something else. */
export function decodeAttributes(text: string): MemberAttributes {
  const raw: unknown = parseLossless(text);
  if (typeof raw !== "object" || raw === null) throw notAMember(text, "an object");
  const fields = raw as Readonly<Record<string, unknown>>;
  return { name: textField(fields["name"], text), clientUrls: textFields(fields["clientURLs"], text) };
}

/** The context of an added member also says whether it is the promotion of a learner. */
export interface MemberChange extends Member {
  readonly isPromote: boolean;
}

/**
 * Reads a member without loss: a JSON number above 2^53 keeps all its digits.
 * Throws an Error that carries the text when it is not a member.
 */
export function decodeMember(text: string): MemberChange {
  return memberOf(parseLossless(text), text);
}

/** etcd's bytes for all members, as on the peer endpoint `/members`. */
export function encodeMembers(members: readonly Member[]): string {
  return `[${members.map(encodeMember).join(",")}]`;
}

/** Reads what `encodeMembers` writes. Throws an Error that carries the text when it is no list of members. */
export function decodeMembers(text: string): readonly Member[] {
  const raw = parseLossless(text);
  if (!Array.isArray(raw)) throw notAMember(text, "a list");
  return raw.map((one) => {
    const { isPromote: _, ...member } = memberOf(one, text);
    return member;
  });
}

function memberOf(raw: unknown, text: string): MemberChange {
  if (typeof raw !== "object" || raw === null) throw notAMember(text, "an object");
  const fields = raw as Readonly<Record<string, unknown>>;
  const id = fields["id"];
  if (typeof id !== "bigint") throw notAMember(text, "an integer id");
  return {
    id: nodeId(id),
    name: textField(fields["name"], text),
    peerUrls: textFields(fields["peerURLs"], text),
    clientUrls: textFields(fields["clientURLs"], text),
    isLearner: fields["isLearner"] === true,
    isPromote: fields["isPromote"] === true,
  };
}

/** Go's escapes: those of JSON, and <, >, & and the two line separators as \u sequences. */
export function jsonString(text: string): string {
  return JSON.stringify(text).replace(
    /[<>&\u2028\u2029]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

function jsonStrings(texts: readonly string[]): string {
  return `[${texts.map(jsonString).join(",")}]`;
}

/** JSON.parse whose integers are bigints, read from the source text. */
export function parseLossless(text: string): unknown {
  // The third argument of a reviver holds the source text of a primitive; the es2023 library types lack it.
  const parse = JSON.parse as (
    text: string,
    reviver: (key: string, value: unknown, context: { readonly source?: string }) => unknown,
  ) => unknown;
  return parse(text, (_key, value, context) =>
    typeof value === "number" && context.source !== undefined && /^-?\d+$/.test(context.source)
      ? BigInt(context.source)
      : value,
  );
}

function textField(value: unknown, text: string): string {
  if (value === undefined || value === null) return "";
  if (typeof value !== "string") throw notAMember(text, "a string");
  return value;
}

function textFields(value: unknown, text: string): readonly string[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw notAMember(text, "a list of strings");
  return value.map((one) => textField(one, text));
}

function notAMember(text: string, expected: string): Error {
  return new Error(`not a member document, expected ${expected}: ${text}`);
}
