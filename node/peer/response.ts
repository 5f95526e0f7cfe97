// What a peer's answer to a posted message means.

import { textOf } from "../lib/bytes.ts";
import type { Answer } from "./call.ts";

/** Undefined: the peer processed the message. */
export function refusalOfPost({ status, body }: Answer, onRemoved: () => void): Error | undefined {
  const text = textOf(body).trimEnd();
  if (status === 204) return undefined;
  if (status === 403) {
    onRemoved();
    return new Error("the member has been permanently removed from the cluster");
  }
  return new Error(status === 412 ? text : `unexpected http status ${status}: ${text}`);
}
