// What two correct members may answer differently. This table is the whole tolerance of the differential test:
// every run prints it, and everything it does not name must be equal, presence of fields included.
import type { InputMessage, Message, Value } from "./messages.ts";

interface MaskRow {
  /** What a reader of the printed table sees. */
  readonly what: string;
  readonly rule: string;
  /** Field paths that the row covers, arrays left out; empty where the rule is about order and lives in watches.ts. */
  readonly paths: readonly string[];
  readonly replace: (value: Value, owner: Message, request: InputMessage) => Value;
}

const hidden = () => "<masked>";
const leaseTtlSlackSeconds = 10n;

const maskTable: readonly MaskRow[] = [
  {
    what: "cluster and member ids",
    rule: "derived from URLs and ports; present or absent is compared, the value is not",
    paths: ["header.cluster_id", "header.member_id", "members.ID", "leader", "alarms.memberID"],
    replace: hidden,
  },
  {
    what: "Raft term and index",
    rule: "elections and internal entries differ; present or absent is compared",
    paths: ["header.raft_term", "raftTerm", "raftIndex", "raftAppliedIndex"],
    replace: hidden,
  },
  {
    what: "database sizes",
    rule: "Status.dbSize and dbSizeInUse: present or absent is compared",
    paths: ["dbSize", "dbSizeInUse"],
    replace: hidden,
  },
  {
    what: "versions",
    rule: "Status.version and storageVersion: present or absent is compared",
    paths: ["version", "storageVersion"],
    replace: hidden,
  },
  {
    what: "listen ports",
    rule: "the port inside member URLs",
    paths: ["members.peerURLs", "members.clientURLs"],
    replace: (value) => String(value).replace(/:\d+$/, ":<port>"),
  },
  {
    what: "lease ids picked by the server",
    rule: "LeaseGrant with ID 0: a positive id is compared as such",
    paths: ["ID"],
    replace: (value, _owner, request) =>
      request["ID"] === undefined || request["ID"] === 0
        ? BigInt(String(value)) > 0n
          ? "<picked>"
          : value
        : value,
  },
  {
    what: "remaining lease time",
    rule: `LeaseTimeToLive.TTL: at most ${leaseTtlSlackSeconds} s below grantedTTL`,
    paths: ["TTL"],
    replace: (value, owner) => {
      const granted = owner["grantedTTL"];
      if (typeof value !== "bigint" || typeof granted !== "bigint") return value;
      return value <= granted && value >= granted - leaseTtlSlackSeconds
        ? "<granted, less what passed>"
        : value;
    },
  },
  {
    what: "keys of a lease",
    rule: "LeaseTimeToLive.keys is a set: compared sorted",
    paths: [],
    replace: hidden,
  },
  {
    what: "order of watch acknowledgements",
    rule: "created, events, canceled are compared in order per watch id; between watch ids, and against progress broadcasts, order is free",
    paths: [],
    replace: hidden,
  },
  {
    what: "batching of events",
    rule: "events are compared as one sequence per watch; each response keeps revisions whole and its header.revision is not below its events",
    paths: [],
    replace: hidden,
  },
  {
    what: "progress broadcasts",
    rule: "an unsynced stream drops them in both, so the test asks until answered and compares one answer",
    paths: [],
    replace: hidden,
  },
];

export function printMask(): void {
  console.log("not compared, or compared by rule:");
  for (const row of maskTable) console.log(`  ${row.what}: ${row.rule}`);
}

const rowsByPath = new Map(maskTable.flatMap((row) => row.paths.map((path) => [path, row] as const)));

/** A copy of the response with everything the table names replaced. */
export function masked(response: Message, request: InputMessage = {}): Message {
  return maskMessage(response, "", request);
}

function maskMessage(message: Message, path: string, request: InputMessage): Message {
  const copy: Record<string, Value> = {};
  for (const [name, value] of Object.entries(message)) {
    const here = path === "" ? name : `${path}.${name}`;
    // Inside a transaction's answer no field is masked but those of a header.
    const row = rowsByPath.get(here);
    if (Array.isArray(value)) {
      const items = value.map((item: Value) => maskValue(item, here, row, message, request));
      copy[name] = name === "keys" ? items.sort(byText) : items;
    } else copy[name] = maskValue(value, here, row, message, request);
  }
  return copy;
}

function maskValue(
  value: Value,
  path: string,
  row: MaskRow | undefined,
  owner: Message,
  request: InputMessage,
): Value {
  if (row !== undefined) return row.replace(value, owner, request);
  if (typeof value === "object" && !(value instanceof Uint8Array) && !Array.isArray(value))
    return maskMessage(value as Message, path, request);
  return value;
}

function byText(a: Value, b: Value): number {
  return Buffer.compare(Buffer.from(a as Uint8Array), Buffer.from(b as Uint8Array));
}
