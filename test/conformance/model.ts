// What a history knows about the store while it runs: fed by the reference member's events and answers, read by
// the generator to ask questions that are often interesting. It is no oracle: nothing is compared with it.
import type { Message } from "./messages.ts";

export interface LiveKey {
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
  readonly value: string;
  readonly lease: bigint;
}

export interface OpenWatch {
  readonly stream: number;
  readonly id: bigint;
  readonly key: string;
  readonly rangeEnd: string;
  /** The first revision whose events this watch gets. */
  readonly startRevision: number;
  /** Below this revision the watch keeps its stream from answering progress requests. */
  readonly progressRevision: number;
  readonly noPut: boolean;
  readonly noDelete: boolean;
}

export class HistoryModel {
  revision = 1;
  /** The last revision compacted; 0 before the first compaction. */
  compacted = 0;
  /** Every revision compacted at; the hash of the last few stays to be asked for. */
  readonly compactions: number[] = [];
  readonly live = new Map<string, LiveKey>();
  readonly leases: bigint[] = [];
  readonly goneLeases: bigint[] = [];
  watches: OpenWatch[] = [];
  /** Every event so far, in order, as the reference told it. */
  readonly events: Message[] = [];

  apply(event: Message): void {
    this.events.push(event);
    const kv = event["kv"] as Message;
    const key = latin1(kv["key"]);
    if (event["type"] === "DELETE") this.live.delete(key);
    else
      this.live.set(key, {
        createRevision: Number(kv["create_revision"]),
        modRevision: Number(kv["mod_revision"]),
        version: Number(kv["version"]),
        value: latin1(kv["value"]),
        lease: (kv["lease"] as bigint | undefined) ?? 0n,
      });
  }

  /** How many events a watch has to get until now. */
  expectedCount(watch: OpenWatch): number {
    let count = 0;
    for (const event of this.events) if (isSeenBy(watch, event)) count++;
    return count;
  }
}

function isSeenBy(watch: OpenWatch, event: Message): boolean {
  const kv = event["kv"] as Message;
  const isDelete = event["type"] === "DELETE";
  if (Number(kv["mod_revision"]) < watch.startRevision) return false;
  if (isDelete ? watch.noDelete : watch.noPut) return false;
  const key = latin1(kv["key"]);
  if (watch.rangeEnd === "") return key === watch.key;
  return key >= watch.key && (watch.rangeEnd === "\0" || key < watch.rangeEnd);
}

function latin1(value: unknown): string {
  return value === undefined ? "" : Buffer.from(value as Uint8Array).toString("latin1");
}
