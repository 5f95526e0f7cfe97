// The two streams between members: one for appends, one for everything else.

import { hexId, type NodeId } from "../lib/ids.ts";
import {
  AppendDecoder,
  AppendEncoder,
  type DeliverFrame,
  type FrameDecoder,
  type FrameEncoder,
  MessageDecoder,
  MessageEncoder,
} from "./frames.ts";
import type { PeerSettings } from "./settings.ts";

export type StreamKind = "message" | "append";

/** etcd's name in paths. */
const pathNames: Readonly<Record<StreamKind, string>> = { message: "message", append: "msgapp" };

/** etcd's name in log lines. */
export const streamNames: Readonly<Record<StreamKind, string>> = {
  message: "stream Message",
  append: "stream MsgApp v2",
};

/** Where the member `from` gets its messages of this kind. */
export function streamPath(kind: StreamKind, from: NodeId): string {
  return `/raft/stream/${pathNames[kind]}/${hexId(from)}`;
}

export function streamKindOf(pathName: string): StreamKind | undefined {
  if (pathName === pathNames.message) return "message";
  return pathName === pathNames.append ? "append" : undefined;
}

export function newEncoder(kind: StreamKind): FrameEncoder {
  return kind === "append" ? new AppendEncoder() : new MessageEncoder();
}

export function newDecoder(
  kind: StreamKind,
  { local, limits }: PeerSettings,
  remote: NodeId,
  deliver: DeliverFrame,
): FrameDecoder {
  const bytesMax = limits.messageBytesMax;
  if (kind === "message") return new MessageDecoder(bytesMax, deliver);
  return new AppendDecoder({ local: local.nodeId, remote, bytesMax, deliver });
}
