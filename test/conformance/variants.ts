// The kinds of answer a run must have seen, each with its own test. A count of zero fails the run: a history that
// never reaches a compacted revision proves nothing about compacted revisions.
import type { Outcome } from "./client.ts";
import type { Op } from "./generate.ts";
import type { InputMessage, Message } from "./messages.ts";

type Call = Extract<Op, { kind: "call" }>;
type Test = (request: InputMessage, outcome: Outcome) => boolean;

const sortOrders = ["NONE", "ASCEND", "DESCEND"];
const sortTargets = ["KEY", "VERSION", "CREATE", "MOD", "VALUE"];
const compareTargets = ["VERSION", "CREATE", "MOD", "VALUE", "LEASE"];
const compareResults = ["EQUAL", "GREATER", "LESS", "NOT_EQUAL"];
/** Up to this many items Go's sort is an insertion sort, so ties keep their order; above, they need not. */
const stableSortItems = 12;

const compactedText = "etcdserver: mvcc: required revision has been compacted";
const futureText = "etcdserver: mvcc: required revision is a future revision";
const emptyKeyText = "etcdserver: key is not provided";
const leaseGoneText = "etcdserver: requested lease not found";

const tests: Readonly<Record<string, readonly (readonly [string, Test])[]>> = {
  Range: [
    ["found", answered((_request, response) => list(response, "kvs").length > 0)],
    ["nothing found", answered((request, response) => !has(request, "range_end") && !has(response, "count"))],
    ["prefix", answered((request) => request["range_end"] === "k0")],
    ["from key", answered((request) => request["range_end"] === "\0" && request["key"] !== "\0")],
    ["all keys", answered((request) => request["range_end"] === "\0" && request["key"] === "\0")],
    ["end before start", answered((request) => endsBeforeStart(request))],
    ["more", answered((_request, response) => response["more"] === true)],
    [
      "limit not reached",
      answered((request, response) => Number(request["limit"]) > 0 && !has(response, "more")),
    ],
    ["negative limit", answered((request) => Number(request["limit"]) < 0)],
    ["count only", answered((request, response) => request["count_only"] === true && has(response, "count"))],
    ["keys only", answered((request, response) => request["keys_only"] === true && has(response, "kvs"))],
    ["serializable", answered((request) => request["serializable"] === true)],
    [
      "older revision",
      answered((request, response) => Number(request["revision"]) > 0 && has(response, "kvs")),
    ],
    ["negative revision", answered((request) => Number(request["revision"]) < 0)],
    ["compacted", failed(compactedText)],
    ["future revision", failed(futureText)],
    ["no key", failed(emptyKeyText)],
    ["invalid sort option", failed("etcdserver: invalid sort option")],
    ...sortOrders.flatMap((order, i) =>
      sortTargets.map((target, j): readonly [string, Test] => [
        `sort ${order} by ${target}`,
        answered(
          (request, response) =>
            isEnum(request["sort_order"], i, order) &&
            isEnum(request["sort_target"], j, target) &&
            list(response, "kvs").length > 1,
        ),
      ]),
    ),
    [
      "sort with equal items",
      answered(
        (request, response) =>
          isEnum(request["sort_target"], 4, "VALUE") &&
          list(response, "kvs").length > stableSortItems &&
          hasEqualValues(list(response, "kvs")),
      ),
    ],
    ...["min_mod_revision", "max_mod_revision", "min_create_revision", "max_create_revision"].map(
      (field): readonly [string, Test] => [
        `filter ${field}`,
        answered((request, response) => has(request, field) && has(response, "count")),
      ],
    ),
  ],
  Put: [
    ["stored", answered(() => true)],
    ["previous value", answered((_request, response) => has(response, "prev_kv"))],
    [
      "no previous value",
      answered((request, response) => request["prev_kv"] === true && !has(response, "prev_kv")),
    ],
    ["value kept", answered((request) => request["ignore_value"] === true)],
    ["lease kept", answered((request) => request["ignore_lease"] === true)],
    ["with a lease", answered((request) => has(request, "lease"))],
    ["no key", failed(emptyKeyText)],
    ["key not found", failed("etcdserver: key not found")],
    ["value provided", failed("etcdserver: value is provided")],
    ["lease provided", failed("etcdserver: lease is provided")],
    ["lease gone", failed(leaseGoneText)],
  ],
  DeleteRange: [
    ["one key", answered((_request, response) => response["deleted"] === 1n)],
    ["several keys", answered((_request, response) => Number(response["deleted"] ?? 0) > 1)],
    ["nothing", answered((_request, response) => !has(response, "deleted"))],
    ["previous values", answered((_request, response) => has(response, "prev_kvs"))],
    ["no key", failed(emptyKeyText)],
  ],
  Txn: [
    ["then", answered((_request, response) => response["succeeded"] === true)],
    ["else", answered((_request, response) => !has(response, "succeeded"))],
    [
      "nested then",
      answered((_request, response) => nested(response).some((inner) => has(inner, "succeeded"))),
    ],
    [
      "nested else",
      answered((_request, response) => nested(response).some((inner) => !has(inner, "succeeded"))),
    ],
    [
      "nested twice",
      answered((_request, response) => nested(response).some((inner) => nested(inner).length > 0)),
    ],
    ["empty", answered((_request, response) => !has(response, "responses"))],
    [
      "read only",
      answered((_request, response) => {
        const responses = list(response, "responses");
        return responses.length > 0 && responses.every((one) => has(one, "response_range"));
      }),
    ],
    ["deletes", answered((_request, response) => inner(response, "response_delete_range", "deleted"))],
    ["previous value", answered((_request, response) => inner(response, "response_put", "prev_kv"))],
    [
      "previous values",
      answered((_request, response) => inner(response, "response_delete_range", "prev_kvs")),
    ],
    ["more", answered((_request, response) => inner(response, "response_range", "more"))],
    ["duplicate key", failed("etcdserver: duplicate key given in txn request")],
    ["too many operations", failed("etcdserver: too many operations in txn request")],
    ["no key", failed(emptyKeyText)],
    ["key not found", failed("etcdserver: key not found")],
    ["lease gone", failed(leaseGoneText)],
    ["compacted", failed(compactedText)],
    ["future revision", failed(futureText)],
    ["value provided", failed("etcdserver: value is provided")],
    [
      "compare a range",
      answered((request) => compares(request).some((one) => (one["range_end"] ?? "") !== "")),
    ],
    [
      "compare without operand",
      answered((request) => compares(request).some((one) => Object.keys(one).length === 3)),
    ],
    ...compareTargets.flatMap((target, i) =>
      compareResults.flatMap((result, j) =>
        [true, false].map((holds): readonly [string, Test] => [
          `compare ${target} ${result} ${holds ? "holds" : "fails"}`,
          answered(
            (request, response) =>
              compares(request).length === 1 &&
              compares(request).every(
                (one) => isEnum(one["target"], i, target) && isEnum(one["result"], j, result),
              ) &&
              (response["succeeded"] === true) === holds,
          ),
        ]),
      ),
    ),
  ],
  Compact: [
    ["done", answered((request) => request["physical"] !== true)],
    ["done physically", answered((request) => request["physical"] === true)],
    ["compacted", failed(compactedText)],
    ["future revision", failed(futureText)],
  ],
  HashKV: [
    ["current", answered((request) => Number(request["revision"]) === 0)],
    ["older revision", answered((request) => Number(request["revision"]) > 0)],
    ["compacted", failed(compactedText)],
    ["future revision", failed(futureText)],
  ],
  LeaseGrant: [
    ["granted", answered((request, response) => BigInt(String(request["ID"])) > 0n && has(response, "TTL"))],
    ["granted a negative id", answered((request) => BigInt(String(request["ID"])) < 0n)],
    ["exists", failed("etcdserver: lease already exists")],
    ["too large", failed("etcdserver: too large lease TTL")],
  ],
  LeaseRevoke: [
    ["revoked", answered(() => true)],
    ["gone", failed(leaseGoneText)],
  ],
  LeaseTimeToLive: [
    ["with keys", answered((_request, response) => has(response, "keys"))],
    [
      "without keys",
      answered((request, response) => request["keys"] === false && has(response, "grantedTTL")),
    ],
    ["gone", answered((_request, response) => response["TTL"] === -1n)],
  ],
  LeaseLeases: [["listed", answered((_request, response) => list(response, "leases").length > 1)]],
  Status: [["answered", answered(() => true)]],
  MemberList: [
    ["linearizable", answered((request) => request["linearizable"] === true)],
    ["local", answered((request) => request["linearizable"] === false)],
  ],
  Alarm: [["listed", answered(() => true)]],
};

const others = [
  "LeaseKeepAlive: renewed",
  "LeaseKeepAlive: gone",
  "LeaseGrant: id picked by the server",
  "Watch: created from now",
  "Watch: created from the past",
  "Watch: created from the future",
  "Watch: compacted",
  "Watch: negative start",
  "Watch: duplicate id",
  "Watch: empty range",
  "Watch: id chosen by the client",
  "Watch: canceled",
  "Watch: cancel of an unknown id",
  "Watch: progress answered",
  "Watch: progress silent",
  "Watch: three watches on a stream",
  "Watch: put event",
  "Watch: delete event",
  "Watch: previous value",
  "Watch: several events of one revision",
  "Watch: filters",
] as const;

export type OtherVariant = (typeof others)[number];

export class VariantCounts {
  readonly #counts = new Map<string, number>();

  constructor() {
    for (const [method, variants] of Object.entries(tests))
      for (const [name] of variants) this.#counts.set(`${method}: ${name}`, 0);
    for (const name of others) this.#counts.set(name, 0);
  }

  observe(op: Call, outcome: Outcome): void {
    for (const [name, test] of tests[op.method] ?? [])
      if (test(op.request, outcome)) this.#add(`${op.method}: ${name}`);
  }

  count(name: OtherVariant): void {
    this.#add(name);
  }

  zeros(): readonly string[] {
    return [...this.#counts].filter(([, count]) => count === 0).map(([name]) => name);
  }

  print(): void {
    console.log("answers seen, by variant:");
    for (const [name, count] of this.#counts) console.log(`  ${String(count).padStart(6)}  ${name}`);
  }

  #add(name: string): void {
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1);
  }
}

function answered(test: (request: InputMessage, response: Message) => boolean): Test {
  return (request, outcome) => outcome.ok && test(request, outcome.response);
}

function failed(text: string): Test {
  return (_request, outcome) => !outcome.ok && outcome.text === text;
}

function has(message: InputMessage | Message, field: string): boolean {
  return message[field] !== undefined;
}

function list(message: Message, field: string): Message[] {
  return (message[field] ?? []) as unknown[] as Message[];
}

function compares(request: InputMessage): readonly InputMessage[] {
  return (request["compare"] ?? []) as readonly InputMessage[];
}

function isEnum(value: unknown, index: number, name: string): boolean {
  return value === index || value === name;
}

function endsBeforeStart(request: InputMessage): boolean {
  const { key, range_end } = request as { key?: string; range_end?: string };
  return (
    key !== undefined && range_end !== undefined && range_end !== "" && range_end !== "\0" && range_end <= key
  );
}

function hasEqualValues(kvs: readonly Message[]): boolean {
  const values = kvs.map((kv) =>
    Buffer.from((kv["value"] as Uint8Array | undefined) ?? []).toString("latin1"),
  );
  return new Set(values).size < values.length;
}

function nested(response: Message): Message[] {
  return list(response, "responses").flatMap((one): Message[] => {
    const answer = one["response_txn"] as Message | undefined;
    return answer === undefined ? [] : [answer];
  });
}

function inner(response: Message, kind: string, field: string): boolean {
  return list(response, "responses").some((one) => {
    const answer = one[kind] as Message | undefined;
    return answer !== undefined && has(answer, field);
  });
}
