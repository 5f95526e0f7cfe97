// The replication state inside the store: which entry was applied last, its term, and the configuration in force
// then. It is part of every flush, so that the store and its position in the log can never disagree.
// Keys and encodings of the bucket `meta` are etcd's.

import type { Backend } from "../lib/backend.ts";
import { textOf, utf8 } from "../lib/bytes.ts";
import { type NodeId, nodeId } from "../lib/ids.ts";
import { parseLossless } from "../membership/member.ts";
import type { ConfState } from "../wire/raft.ts";

const appliedIndexKey = utf8("consistent_index");
const termKey = utf8("term");
const confStateKey = utf8("confState");

export interface DurableState {
  readonly index: number;
  readonly term: number;
  readonly confState: ConfState;
}

/** Undefined for a store that nothing was applied to. */
export function readDurableState(backend: Pick<Backend, "get">): DurableState | undefined {
  const index = backend.get("meta", appliedIndexKey);
  const term = backend.get("meta", termKey);
  const confState = backend.get("meta", confStateKey);
  if (index === undefined || term === undefined || confState === undefined) return undefined;
  return { index: counterOf(index), term: counterOf(term), confState: decodeConfState(textOf(confState)) };
}

export function writeDurableState(backend: Pick<Backend, "put">, state: DurableState): void {
  backend.put("meta", appliedIndexKey, eightBytes(state.index));
  backend.put("meta", termKey, eightBytes(state.term));
  writeConfState(backend, state.confState);
}

/** What hashes count as well: it has to be there as soon as it is in force, and not with the next flush only. */
export function writeConfState(backend: Pick<Backend, "put">, confState: ConfState): void {
  backend.put("meta", confStateKey, utf8(encodeConfState(confState)));
}

function eightBytes(value: number): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value));
  return bytes;
}

/** Reads what `eightBytes` writes. Throws an Error for what is no counter. */
export function counterOf(bytes: Uint8Array): number {
  if (bytes.length !== 8) throw new Error(`stored counter of ${bytes.length} bytes, expected 8`);
  const value = new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getBigUint64(0);
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new Error(`stored counter ${value} is above 2^53`);
  return Number(value);
}

function encodeConfState(state: ConfState): string {
  const fields: string[] = [];
  const add = (name: string, ids: readonly NodeId[]): void => {
    if (ids.length > 0) fields.push(`"${name}":[${ids.join(",")}]`);
  };
  add("voters", state.voters);
  add("learners", state.learners);
  add("voters_outgoing", state.votersOutgoing);
  add("learners_next", state.learnersNext);
  fields.push(`"auto_leave":${state.autoLeave}`);
  return `{${fields.join(",")}}`;
}

/** Throws an Error that carries the text. */
export function decodeConfState(text: string): ConfState {
  const fields = parseLossless(text) as Readonly<Record<string, unknown>>;
  const ids = (name: string): readonly NodeId[] => {
    const value = fields[name] ?? [];
    if (!Array.isArray(value) || value.some((id) => typeof id !== "bigint")) {
      throw new Error(`stored configuration: "${name}" is not a list of ids: ${text}`);
    }
    return value.map((id: bigint) => nodeId(id));
  };
  return {
    voters: ids("voters"),
    learners: ids("learners"),
    votersOutgoing: ids("voters_outgoing"),
    learnersNext: ids("learners_next"),
    autoLeave: fields["auto_leave"] === true,
  };
}
