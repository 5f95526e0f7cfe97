// What a store went through, revision by revision, as a watch from the first revision tells it.
import { must } from "../../../node/lib/assert.ts";
import type { TestClient } from "../../conformance/client.ts";
import type { Message } from "../../conformance/messages.ts";
import { succeed } from "../support/kv.ts";

export type Change =
  | { readonly kind: "put"; readonly key: string; readonly value: string; readonly lease: number }
  | { readonly kind: "delete"; readonly key: string };

/** The changes of each revision, in the order in which they were made. */
export type History = Map<number, Change[]>;

/** One text for the changes of a revision, to compare them by. */
export function textOf(changes: readonly Change[] | undefined): string {
  return (changes ?? [])
    .map((change) =>
      change.kind === "put" ? `put ${change.key}=${change.value}@${change.lease}` : `delete ${change.key}`,
    )
    .join(", ");
}

const textDecoder = new TextDecoder();

function changeOf(event: Message): Change {
  const kv = event["kv"] as Message;
  const key = textDecoder.decode(kv["key"] as Uint8Array);
  if (event["type"] === "DELETE") return { kind: "delete", key };
  const value = textDecoder.decode((kv["value"] as Uint8Array | undefined) ?? new Uint8Array());
  return { kind: "put", key, value, lease: Number(kv["lease"] ?? 0) };
}

/** Adds what a watch response holds. */
export function addEvents(history: History, response: Message): void {
  for (const event of (response["events"] ?? []) as readonly Message[]) {
    const revision = Number((event["kv"] as Message)["mod_revision"]);
    const changes = history.get(revision) ?? [];
    changes.push(changeOf(event));
    history.set(revision, changes);
  }
}

const everyKey = { key: Uint8Array.of(0), range_end: Uint8Array.of(0) };
const watchTimeoutMs = 60_000;

/** Reads the history from a revision up to the newest one. */
export async function readHistory(client: TestClient, startRevision: number): Promise<History> {
  const { header } = await succeed(client, "Range", { key: "none" });
  const end = Number((header as Message)["revision"]);
  const history: History = new Map();
  if (end < startRevision) return history;
  const watch = client.watch();
  watch.send({ create_request: { ...everyKey, start_revision: startRevision } });
  let read = 0;
  const hasAll = await watch.until((received) => {
    for (; read < received.length; read++) addEvents(history, must(received[read], "an answer is there"));
    return history.has(end);
  }, watchTimeoutMs);
  watch.cancel();
  if (!hasAll)
    throw new Error(`a watch from ${startRevision} did not reach ${end}: ${JSON.stringify(watch.ended)}`);
  return history;
}

/** Watches all keys from now on, for as long as the member lives. */
export async function observe(client: TestClient): Promise<History> {
  const history: History = new Map();
  const watch = client.watch();
  watch.send({ create_request: everyKey });
  await watch.until((received) => received.length > 0, watchTimeoutMs);
  let read = 0;
  void watch.until((received) => {
    for (; read < received.length; read++) addEvents(history, must(received[read], "an answer is there"));
    return false;
  }, watchTimeoutMs);
  return history;
}
