// Membership changes as transcripts write them: "v1 l2 r3 u4".

import { nodeId } from "../../lib/ids.ts";
import type { ConfChangeSingle, ConfChangeType } from "../../wire/raft.ts";

const types: Readonly<Record<string, ConfChangeType>> = {
  v: "ConfChangeAddNode",
  l: "ConfChangeAddLearnerNode",
  r: "ConfChangeRemoveNode",
  u: "ConfChangeUpdateNode",
};

/** The changes, or the message that a transcript expects for input that is none. */
export function parseChanges(input: string): readonly ConfChangeSingle[] | string {
  const text = input.trim();
  if (text === "") return [];
  const changes: ConfChangeSingle[] = [];
  for (const token of text.split(" ")) {
    if (token.length < 2) return `unknown token ${token}`;
    const type = types[token.charAt(0)];
    if (type === undefined) return `unknown input: ${token}`;
    const id = token.slice(1);
    if (!/^[0-9]+$/.test(id)) return `strconv.ParseUint: parsing ${JSON.stringify(id)}: invalid syntax`;
    changes.push({ type, nodeId: nodeId(BigInt(id)) });
  }
  return changes;
}
