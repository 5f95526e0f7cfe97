// Short forms of calls for tests that are about something else.
import { setTimeout as delay } from "node:timers/promises";
import { must } from "../../../node/lib/assert.ts";
import type { TestClient } from "../../conformance/client.ts";
import type { InputMessage, Message } from "../../conformance/messages.ts";

/** Calls and takes nothing but success. */
export async function succeed(client: TestClient, method: string, request: InputMessage): Promise<Message> {
  const outcome = await client.call(method, request);
  if (!outcome.ok) throw new Error(`${method} failed with code ${outcome.code}: ${outcome.text}`);
  return outcome.response;
}

export function revisionOf(response: Message): number {
  return Number((response["header"] as Message)["revision"]);
}

/** Returns the revision. */
export async function put(client: TestClient, key: string, value: string | Uint8Array): Promise<number> {
  return revisionOf(await succeed(client, "Put", { key, value }));
}

/** The value as text; undefined where there is no key. */
export async function keyValue(client: TestClient, key: string): Promise<string | undefined> {
  const { kvs } = await succeed(client, "Range", { key });
  const kv = (kvs as readonly Message[] | undefined)?.[0];
  return kv === undefined ? undefined : new TextDecoder().decode(kv["value"] as Uint8Array);
}

/** HashKV at a revision, 0 for the current one. */
export async function hashKv(client: TestClient, revision: number): Promise<string> {
  const response = await succeed(client, "HashKV", { revision });
  const hash = must(response["hash"], "an answer has a hash");
  return `${hash} compacted ${response["compact_revision"] ?? 0}`;
}

/** Waits until the condition holds; for things that no event tells a client of another process. */
export async function eventually(
  what: string,
  isSo: () => Promise<boolean>,
  timeoutMs = 10_000,
): Promise<void> {
  const end = performance.now() + timeoutMs;
  while (!(await isSo())) {
    if (performance.now() > end) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await delay(50);
  }
}
