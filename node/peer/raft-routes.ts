// The paths below /raft: single messages, streams, probes.

import type { IncomingMessage, ServerResponse } from "node:http";
import { hexId } from "../lib/ids.ts";
import { compatibleVersion } from "../lib/version.ts";
import { WireError } from "../wire/error.ts";
import type { Message } from "../wire/raft.ts";
import { raftCodecs } from "../wire/raft-codec.ts";
import { answerError, answerTooLarge, readBody, refusesMethod } from "./answers.ts";
import { headerOf, incompatibilityOf, parseHexId } from "./compatibility.ts";
import { counterMax, faultOf, type MessageFault, numbersOf } from "./message-check.ts";
import { streamKindOf } from "./stream-kind.ts";
import type { Transport } from "./transport.ts";

/** POST /raft: one message. */
export async function serveMessage(
  transport: Transport,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { limits, logger, metrics } = transport.settings;
  if (refusesMethod(request, response, "POST") || refusesStranger(transport, request, response)) return;
  noteSender(transport, request);
  const remoteAddress = request.socket.remoteAddress ?? "unknown";
  const body = await readBody(request, {
    bytesMax: limits.messageBytesMax,
    timeoutMs: limits.bodyTimeoutMs,
  });
  if (body === undefined) {
    metrics.receivedFailure(remoteAddress);
    logger.warn("failed to read Raft message", { "remote-address": remoteAddress, error: "too large" });
    answerTooLarge(response);
    return;
  }
  const message = decoded(body);
  if (message instanceof WireError) {
    metrics.receivedFailure(remoteAddress);
    logger.warn("failed to unmarshal Raft message", {
      "remote-address": remoteAddress,
      error: message.message,
    });
    answerError(response, { status: 400, text: "error unmarshalling raft message" });
    return;
  }
  metrics.receivedBytes(hexId(message.from), body.length);
  if (refusesMessage(transport, message, response)) return;
  if (message.type === "MsgSnap") {
    // Without its store it would replace the log by nothing. etcd sends it to /raft/snapshot, too.
    answerError(response, { status: 400, text: "wrong raft message type" });
    return;
  }
  transport.settings.raft.receiveUnproven(message);
  response.writeHead(204).end();
}

/** GET /raft/stream/KIND/ID: the response is a stream of messages to the member ID. */
export function serveStream(
  transport: Transport,
  request: IncomingMessage,
  response: ServerResponse,
  path: string,
): void {
  const { local, logger, raft } = transport.settings;
  if (refusesMethod(request, response, "GET")) return;
  response.setHeader("X-Server-Version", compatibleVersion);
  if (refusesStranger(transport, request, response)) return;
  const [kindName = "", idText = "", ...rest] = path.split("/").slice(3);
  const kind = streamKindOf(kindName);
  if (kind === undefined || rest.length > 0) {
    answerError(response, { status: 404, text: "invalid path" });
    return;
  }
  const from = parseHexId(idText);
  if (from === undefined) {
    answerError(response, { status: 404, text: "invalid from" });
    return;
  }
  const fields = { "local-member-id": hexId(local.nodeId), "remote-peer-id-from": hexId(from) };
  if (raft.isRemoved(from)) {
    logger.warn("rejected stream from remote peer because it was removed", fields);
    answerError(response, { status: 410, text: "removed member" });
    return;
  }
  if (!transport.hasPeer(from)) {
    const urls = headerOf(request.headers, "x-peerurls");
    if (urls !== undefined) transport.addRemote(from, urls.split(","));
    logger.warn("failed to find remote peer in cluster", fields);
    answerError(response, { status: 404, text: "error sender not found" });
    return;
  }
  const to = headerOf(request.headers, "x-raft-to") ?? "";
  if (to !== hexId(local.nodeId)) {
    logger.warn("ignored streaming request; ID mismatch", { ...fields, "remote-peer-id-header": to });
    answerError(response, { status: 412, text: "to field mismatch" });
    return;
  }
  // Nothing comes in here any more, and the writer watches what goes out.
  request.setTimeout(0);
  response.writeHead(200);
  response.flushHeaders();
  transport.attach(from, kind, response);
}

/** /raft/probing: that the member is there, and the time of its clock. */
export function serveProbe(response: ServerResponse): void {
  response.writeHead(200, { "Content-Type": "text/plain; charset=utf-8" });
  response.end(`{"OK":true,"Now":"${new Date().toISOString()}"}\n`);
}

/** Refuses who is not of this cluster, or too old or new for it; true when it did. */
export function refusesStranger(
  { settings }: Transport,
  request: IncomingMessage,
  response: ServerResponse,
): boolean {
  const { clusterId, nodeId } = settings.local;
  response.setHeader("X-Etcd-Cluster-ID", hexId(clusterId));
  const incompatibility = incompatibilityOf(request.headers, clusterId);
  if (incompatibility === undefined) return false;
  const isMismatch = incompatibility === "cluster ID mismatch";
  settings.logger.warn(isMismatch ? "request cluster ID mismatch" : "failed version compatibility check", {
    "local-member-id": hexId(nodeId),
    "local-member-cluster-id": hexId(clusterId),
    "remote-peer-server-name": headerOf(request.headers, "x-server-from"),
    "remote-peer-server-version": headerOf(request.headers, "x-server-version"),
    "remote-peer-cluster-id": headerOf(request.headers, "x-etcd-cluster-id"),
  });
  answerError(response, { status: 412, text: incompatibility });
  return true;
}

/** Remembers where a sender can be answered that this member was not told of. */
export function noteSender(transport: Transport, request: IncomingMessage): void {
  const from = parseHexId(headerOf(request.headers, "x-server-from") ?? "");
  const urls = headerOf(request.headers, "x-peerurls");
  if (from !== undefined && urls !== undefined) transport.addRemote(from, urls.split(","));
}

/**
 * Refuses what is not for Raft; true when it did. A member that reads 403 shuts itself down, so that is for removed
 * ones only: etcd says it also to a message for another id, and would end a healthy member over a reused address.
 */
export function refusesMessage({ settings }: Transport, message: Message, response: ServerResponse): boolean {
  const { local, logger, metrics, raft } = settings;
  const fields = {
    "local-member-id": hexId(local.nodeId),
    from: hexId(message.from),
    to: hexId(message.to),
    "message-type": message.type,
  };
  if (raft.isRemoved(message.from)) {
    logger.warn("rejected Raft message from removed member", fields);
    response.writeHead(403, { "Content-Type": "application/json" });
    response.end(`{"message":"cannot process message from removed member"}`);
    return true;
  }
  const fault = faultOf(message, local.nodeId);
  if (fault === undefined) return false;
  metrics.receivedFailure(hexId(message.from));
  logger.warn(
    fault === "toOther" ? "rejected Raft message to mismatch member" : "failed to process Raft message",
    { ...fields, fault, ...numbersOf(message) },
  );
  answerError(response, refusalOf(fault));
  return true;
}

function refusalOf(fault: MessageFault): { readonly status: number; readonly text: string } {
  switch (fault) {
    case "malformed":
      return { status: 400, text: "malformed raft message" };
    case "outOfBounds":
      return { status: 400, text: `raft message with a term or index above ${counterMax}` };
    case "fromSelf":
    case "toOther":
      return { status: 412, text: "to field mismatch" };
  }
}

function decoded(body: Uint8Array): Message | WireError {
  try {
    return raftCodecs.Message.decode(body);
  } catch (error) {
    if (error instanceof WireError) return error;
    throw error;
  }
}
