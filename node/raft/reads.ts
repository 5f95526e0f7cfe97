// Linearizable reads on a leader. See read-only.ts for why a heartbeat round confirms them.

import { must } from "../lib/assert.ts";
import { noNode } from "../lib/ids.ts";
import type { Message } from "../wire/raft.ts";
import type { Raft } from "./raft.ts";
import { broadcastHeartbeat } from "./replication.ts";

/** Reads that wait for the leader's first commit at most; more are dropped, and their readers ask again. */
const waitingReadsMax = 65_536;

export function requestRead(raft: Raft, request: Message): void {
  if (request.entries.length === 0) return;
  // A leader that is alone waits too: after a crash or a removal its commit index may lie behind what was acknowledged.
  if (!raft.hasCommittedInTerm()) {
    if (raft.pendingReads.length < waitingReadsMax) raft.pendingReads.push(request);
    return;
  }
  startRead(raft, request);
}

/** Starts the reads that waited for the first commit of the term. */
export function releasePendingReads(raft: Raft): void {
  if (raft.pendingReads.length === 0 || !raft.hasCommittedInTerm()) return;
  const requests = raft.pendingReads;
  raft.pendingReads = [];
  for (const request of requests) startRead(raft, request);
}

function startRead(raft: Raft, request: Message): void {
  if (raft.config.readOnlyOption === "ReadOnlyLeaseBased" || raft.tracker.isAlone(raft.id)) {
    answerRead(raft, request, raft.log.committed);
    return;
  }
  if (!raft.readOnly.add(request, raft.log.committed)) return;
  raft.readOnly.acknowledge(raft.id, raft.readOnly.heartbeatContext());
  broadcastHeartbeat(raft);
}

/** Tells whoever asked, this member or a follower, from which index on the read may be served. */
export function answerRead(raft: Raft, request: Message, index: number): void {
  const { from, entries } = request;
  if (from === noNode || from === raft.id) {
    const { data } = must(entries[0], "a read request without its context");
    raft.readStates.push({ index, context: data });
  } else {
    raft.send({ type: "MsgReadIndexResp", to: from, index, entries });
  }
}
