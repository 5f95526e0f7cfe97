// A store on its way to a peer: POST /raft/snapshot with the message's frame and the file's bytes, chunked. A trailer
// holds the file's SHA-256; etcd has no use for it, a member of our kind installs nothing that does not match.

import { createHash } from "node:crypto";
import type { ClientRequest } from "node:http";
import { hexId, type NodeId } from "../lib/ids.ts";
import type { Message } from "../wire/raft.ts";
import { answerOf } from "./call.ts";
import { introduction } from "./compatibility.ts";
import { messageFrame } from "./frames.ts";
import type { OutgoingSnapshot, SnapshotPort } from "./port.ts";
import { refusalOfPost } from "./response.ts";
import type { PeerSettings } from "./settings.ts";

export const digestTrailer = "X-Etcdlike-Snapshot-Sha256";
/** So that a peer without room for the file says so before it has it. */
export const sizeHeader = "X-Etcdlike-Snapshot-Bytes";

/** Stops what is under way. */
export interface SnapshotSend {
  /** Undefined: the peer has installed it. */
  readonly outcome: Promise<Error | undefined>;
  abort(): void;
}

export function sendSnapshot(
  settings: PeerSettings,
  options: { readonly message: Message; readonly peerId: NodeId; readonly url: URL },
): SnapshotSend {
  let request: ClientRequest | undefined;
  let isAborted = false;
  const send = async (): Promise<Error | undefined> => {
    const { snapshots, logger, raft } = settings;
    if (snapshots === undefined) throw new Error("this member has no snapshots to send");
    const snapshot = await openedSnapshot(snapshots, options.message);
    try {
      if (isAborted) throw new Error("stopped");
      const fields = {
        "snapshot-index": snapshot.message.snapshot?.metadata.index,
        "remote-peer-id": hexId(options.peerId),
      };
      logger.info("sending database snapshot", fields);
      request = openRequest(settings, options.url, snapshot.fileBytes);
      const answer = answerOf(request);
      const written = writeBody(request, snapshot, (bytes) =>
        settings.metrics.sentBytes(hexId(options.peerId), bytes),
      );
      // A peer that answers before it has everything refuses, and what is still written then fails.
      await Promise.race([written, answer]);
      request.setTimeout(settings.limits.snapshotAnswerMs);
      const failure = refusalOfPost(await answer, () => raft.onRemoved());
      if (failure === undefined) logger.info("sent database snapshot", fields);
      return failure;
    } finally {
      snapshot.close();
      request?.destroy();
    }
  };
  return {
    outcome: send().catch((error: Error) => error),
    abort() {
      isAborted = true;
      request?.destroy();
    },
  };
}

async function openedSnapshot(snapshots: SnapshotPort, message: Message): Promise<OutgoingSnapshot> {
  const snapshot = await snapshots.open(message);
  if (snapshot.message.type === "MsgSnap" && snapshot.message.snapshot !== undefined) return snapshot;
  snapshot.close();
  throw new Error("a snapshot without a snapshot message");
}

function openRequest({ dialer, limits, local }: PeerSettings, url: URL, fileBytes: number): ClientRequest {
  return dialer.open({
    url,
    path: "/raft/snapshot",
    method: "POST",
    headers: {
      "Content-Type": "application/octet-stream",
      "Transfer-Encoding": "chunked",
      Trailer: digestTrailer,
      [sizeHeader]: String(fileBytes),
      ...introduction(local),
    },
    lane: "stream",
    dialTimeoutMs: limits.dialTimeoutMs,
    idleTimeoutMs: limits.snapshotIdleMs,
  });
}

async function writeBody(
  request: ClientRequest,
  snapshot: OutgoingSnapshot,
  onSent: (bytes: number) => void,
): Promise<void> {
  const hash = createHash("sha256");
  await write(request, messageFrame(snapshot.message));
  for await (const chunk of snapshot.bytes) {
    hash.update(chunk);
    await write(request, chunk);
    onSent(chunk.length);
  }
  request.addTrailers({ [digestTrailer]: hash.digest("hex") });
  request.end();
}

/** Resolves when there is room for more. */
function write(request: ClientRequest, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    if (request.destroyed) {
      reject(new Error("the peer closed the connection"));
      return;
    }
    request.write(bytes, (error) => (error ? reject(error) : resolve()));
  });
}
