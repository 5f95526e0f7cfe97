// A process that opens crashed data directories, one after the other, with the real member, and compares what
// it serves with the history. The process itself may die of a damaged store: the parent sees that as a failure.

import { readFileSync } from "node:fs";
import { decide } from "../../node/cli/command-line.ts";
import { silentLogger } from "../../node/lib/log.ts";
import { startMember } from "../../node/member.ts";
import { TestClient } from "../conformance/client.ts";
import type { Message } from "../conformance/messages.ts";
import { type Operation, stateAt } from "./history.ts";
import { freePorts, memberFlags } from "./record.ts";

export interface CheckRequest {
  readonly dataDir: string;
  readonly acknowledgedRevision: number;
}

export interface CheckAnswer {
  /** Undefined when everything was right. */
  readonly problem: string | undefined;
  readonly revision: number;
}

const history = JSON.parse(readFileSync(process.argv[2] ?? "", "utf8")) as readonly Operation[];
const ports = await freePorts();

process.on("message", (request: CheckRequest) => {
  check(request).then(
    (answer) => process.send?.(answer),
    (error: unknown) => fail(error),
  );
});
process.on("disconnect", () => process.exit(0));

async function check({ dataDir, acknowledgedRevision }: CheckRequest): Promise<CheckAnswer> {
  const argv = memberFlags(dataDir, ports.client, ports.peer);
  const decision = decide({ argv, environment: {}, readFile: String });
  if (decision.kind !== "run") throw new Error(`the flags are refused: ${decision.kind}`);
  const { config } = decision;
  const member = await startMember({ config, log: silentLogger, onFatal: fail, onUnexpected: fail });
  const client = new TestClient(`127.0.0.1:${ports.client}`);
  const outcome = await client.call("Range", { key: "\0", range_end: "\0" });
  client.close();
  await member.stop();
  if (!outcome.ok) return { problem: `the range failed: ${outcome.text}`, revision: 0 };
  const { response } = outcome;
  const revision = Number((response["header"] as Message)["revision"]);
  if (revision < acknowledgedRevision) {
    return { problem: `revision ${acknowledgedRevision} was acknowledged, ${revision} is there`, revision };
  }
  return { problem: difference((response["kvs"] ?? []) as readonly Message[], revision), revision };
}

function difference(kvs: readonly Message[], revision: number): string | undefined {
  const expected = stateAt(history, revision);
  if (kvs.length !== expected.size) return `${kvs.length} keys instead of ${expected.size} at ${revision}`;
  for (const kv of kvs) {
    const key = Buffer.from(kv["key"] as Uint8Array).toString();
    const found = {
      value: Buffer.from(kv["value"] as Uint8Array).toString(),
      createRevision: Number(kv["create_revision"]),
      modRevision: Number(kv["mod_revision"]),
      version: Number(kv["version"]),
    };
    const [want, got] = [JSON.stringify(expected.get(key)), JSON.stringify(found)];
    if (want !== got) return `${key} at ${revision}: expected ${want}, found ${got}`;
  }
  return undefined;
}

/** The store may be open and unusable, so the process ends; the parent starts another. */
function fail(error: unknown): never {
  const reason = error instanceof Error && "reason" in error ? `${String(error.reason)}: ` : "";
  const text = error instanceof Error ? error.message : String(error);
  process.send?.({ problem: `${reason}${text}`, revision: 0 } satisfies CheckAnswer);
  process.disconnect();
  process.exit(1);
}
