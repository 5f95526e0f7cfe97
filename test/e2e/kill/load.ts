// Writers that remember what was acknowledged, what was refused by the end of the process, and at which revision.
import { setTimeout as delay } from "node:timers/promises";
import { must } from "../../../node/lib/assert.ts";
import type { Random } from "../../../node/lib/random.ts";
import type { TestClient } from "../../conformance/client.ts";
import type { InputMessage, Message } from "../../conformance/messages.ts";
import type { Change } from "./history.ts";

export interface Acknowledged {
  readonly revision: number;
  readonly changes: readonly Change[];
}

interface Operation {
  readonly method: string;
  readonly request: InputMessage;
  readonly changes: readonly Change[];
  /** How many of the changes the answer must report. */
  readonly isConfirmedBy: (response: Message) => boolean;
}

const unavailable = 14;
const keysOfWriter = 40;

export class Load {
  readonly acknowledged: Acknowledged[] = [];
  /** Operations without an answer: they may have happened, or not, but only as a whole. */
  readonly unanswered: (readonly Change[])[] = [];
  highestRevision = 0;
  readonly #client: TestClient;
  readonly #random: Random;
  readonly #round: number;
  readonly #lease: number;
  #isStopping = false;
  readonly #failures: string[] = [];

  constructor(
    client: TestClient,
    { random, round, lease }: { readonly random: Random; readonly round: number; readonly lease: number },
  ) {
    this.#client = client;
    this.#random = random;
    this.#round = round;
    this.#lease = lease;
  }

  /** Runs until the member is gone. `killAfter` ends it. */
  async run(writers: number, killAfterMs: number, kill: () => Promise<void>): Promise<void> {
    const running = Array.from({ length: writers }, (_, writer) => this.#write(writer));
    await delay(killAfterMs);
    const killed = kill();
    this.#isStopping = true;
    await Promise.all([...running, killed]);
    if (this.#failures.length > 0) throw new Error(this.#failures.join("; "));
  }

  async #write(writer: number): Promise<void> {
    const present = new Set<string>();
    let highest = 0;
    for (let step = 0; ; step++) {
      const { method, request, changes, isConfirmedBy } = this.#operation(writer, step, present);
      const outcome = await this.#client.call(method, request);
      if (!outcome.ok) {
        this.unanswered.push(changes);
        if (outcome.code !== unavailable) this.#failures.push(`${method}: ${outcome.code} ${outcome.text}`);
        return;
      }
      const revision = Number((outcome.response["header"] as Message)["revision"]);
      if (revision <= highest) this.#failures.push(`revision ${revision} after ${highest}`);
      if (!isConfirmedBy(outcome.response)) this.#failures.push(`${method} answered something else`);
      highest = revision;
      this.highestRevision = Math.max(this.highestRevision, revision);
      this.acknowledged.push({ revision, changes });
      for (const change of changes) {
        if (change.kind === "put") present.add(change.key);
        else present.delete(change.key);
      }
      if (this.#isStopping && this.#failures.length > 0) return;
    }
  }

  /** Keys belong to one writer of one round, so that it knows what is there. */
  #operation(writer: number, step: number, present: ReadonlySet<string>): Operation {
    const keyOf = (i: number) => `round ${this.#round}/writer ${writer}/${i}`;
    const put = (key: string, suffix: string): Change => ({
      kind: "put",
      key,
      value: `step ${step}${suffix}`.padEnd(this.#random.below(400), "."),
      lease: this.#random.below(4) === 0 ? this.#lease : 0,
    });
    const requestOf = (change: Change): InputMessage =>
      change.kind === "put"
        ? { key: change.key, value: change.value, lease: change.lease }
        : { key: change.key };
    const first = keyOf(this.#random.below(keysOfWriter));
    const kind = this.#random.below(10);
    if (kind < 2 && present.has(first)) {
      const changes: Change[] = [{ kind: "delete", key: first }];
      return {
        method: "DeleteRange",
        request: { key: first },
        changes,
        isConfirmedBy: (response) => response["deleted"] === 1n,
      };
    }
    if (kind < 4) {
      const second = keyOf(keysOfWriter + this.#random.below(keysOfWriter));
      const changes: Change[] = [put(first, "a"), put(second, "b")];
      if (present.has(keyOf(-1))) changes.push({ kind: "delete", key: keyOf(-1) });
      else changes.push(put(keyOf(-1), "c"));
      const success = changes.map((change) =>
        change.kind === "put"
          ? { request_put: requestOf(change) }
          : { request_delete_range: requestOf(change) },
      );
      return {
        method: "Txn",
        request: { success },
        changes,
        isConfirmedBy: (response) => (response["responses"] as readonly Message[]).length === 3,
      };
    }
    const change = put(first, "");
    return { method: "Put", request: requestOf(change), changes: [change], isConfirmedBy: () => true };
  }
}

/** Makes the changes of one revision of a history, as one transaction. Returns the revision. */
export async function replay(client: TestClient, changes: readonly Change[]): Promise<number> {
  const success = changes.map((change) =>
    change.kind === "put"
      ? { request_put: { key: change.key, value: change.value, lease: change.lease } }
      : { request_delete_range: { key: change.key } },
  );
  const outcome = await client.call("Txn", { success });
  if (!outcome.ok) throw new Error(`the replay was refused: ${outcome.text}`);
  return Number(must((outcome.response["header"] as Message)["revision"], "an answer has a revision"));
}
