// What an operator types, as a list. Every step runs against a real etcd and against the member under test, on
// the same ports, and its output is compared line by line.

export type Step =
  | { readonly kind: "run"; readonly args: readonly string[]; readonly stdin?: string }
  /** Grants a lease whose id later steps write as `{name}`. */
  | { readonly kind: "grant"; readonly name: string; readonly seconds: number }
  /** Watches while the steps run, until the output has so many lines. */
  | {
      readonly kind: "watch";
      readonly args: readonly string[];
      readonly during: readonly Step[];
      readonly lines: number;
    };

function run(...args: readonly string[]): Step {
  return { kind: "run", args };
}

function put(key: string, value: string): Step {
  return run("put", key, value);
}

function txn(stdin: string, ...args: readonly string[]): Step {
  return { kind: "run", args: ["txn", ...args], stdin };
}

const formats = ["simple", "json", "fields"];
const tableFormats = [...formats, "table"];

export function script(version: "3.4" | "3.6"): readonly Step[] {
  const inAll = (...args: readonly string[]) => formats.map((format) => run(...args, "-w", format));
  const inAllAndTable = (...args: readonly string[]) =>
    tableFormats.map((format) => run(...args, "-w", format));
  return [
    // Keys.
    run("get", "nothing"),
    put("foo", "bar"),
    ...["foo1", "foo2", "foo3"].map((key) => put(key, `bar of ${key}`)),
    put("foo", "bar again"),
    run("put", "foo", "third", "--prev-kv"),
    run("put", "foo", "--ignore-value"),
    run("put", "gone", "--ignore-value"),
    run("put", "foo", "x", "--lease", "1234"),
    run("put", "foo", "x", "--ignore-lease"),
    run("put", "", "x"),
    { kind: "run", args: ["put", "from-stdin"], stdin: "line one\nline two" },
    ...inAll("get", "foo"),
    ...inAll("get", "foo", "--prefix"),
    ...inAll("get", "foo", "--prefix", "--limit", "2"),
    ...inAll("get", "foo", "--prefix", "--keys-only"),
    ...inAll("get", "foo", "--prefix", "--count-only"),
    run("get", "foo1", "foo3"),
    run("get", "foo2", "--from-key"),
    run("get", "", "--prefix", "--keys-only"),
    run("get", "", "--from-key", "--keys-only"),
    run("get", "foo", "--rev", "2"),
    run("get", "foo", "--rev", "999"),
    run("get", "foo", "--print-value-only"),
    run("get", "foo", "--consistency", "s"),
    run("get", "foo", "--hex"),
    ...["ASCEND", "DESCEND"].flatMap((order) =>
      ["CREATE", "KEY", "MODIFY", "VALUE", "VERSION"].map((target) =>
        run("get", "foo", "--prefix", "--order", order, "--sort-by", target),
      ),
    ),
    ...inAll("put", "fmt", "value"),
    ...inAll("put", "fmt", "value", "--prev-kv"),
    ...inAll("del", "fmt", "--prev-kv"),
    run("del", "fmt"),
    run("del", "foo1", "--prev-kv"),
    run("del", "foo", "--prefix", "--prev-kv"),
    run("del", "", "--prefix"),
    put("a", "1"),
    put("b", "2"),
    run("del", "a", "--from-key"),
    // Transactions.
    txn('create("t") = "0"\n\nput t one\nget t\n\nget t\n\n'),
    txn('value("t") = "one"\nmod("t") > "1"\n\nput t two\nput u one\nget t --prefix\n\ndel t\n\n'),
    txn('version("t") < "2"\n\nput t three\n\nget t\ndel u\n\n'),
    txn('val("t") != "two"\n\nput t four\n\n\n'),
    txn('value("t") = "two"\n\nget t\n\nput x y\n\n', "-w", "json"),
    txn('value("t") = "two"\n\nput t five\ndel none\n\n\n', "-w", "fields"),
    txn("\n\nput d 1\nput d 2\n\n\n"),
    txn("\nget t --rev=9999\n\n\n"),
    // Watches.
    put("w1", "one"),
    put("w1", "two"),
    run("del", "w1"),
    {
      kind: "watch",
      args: ["watch", "w", "--prefix", "--prev-kv"],
      during: [put("w1", "three"), put("w2", "first"), put("w1", "four"), run("del", "w", "--prefix")],
      lines: 6 + 3 + 5 + 4 + 4,
    },
    { kind: "watch", args: ["watch", "w1", "--rev", "2"], during: [], lines: 8 },
    { kind: "watch", args: ["watch", "w1", "--rev", "2", "--prev-kv", "-w", "json"], during: [], lines: 1 },
    { kind: "watch", args: ["watch", "w", "x", "--rev", "2", "-w", "fields"], during: [], lines: 20 },
    // Compaction.
    put("c", "1"),
    put("c", "2"),
    run("compaction", "20"),
    run("compaction", "20"),
    run("compaction", "99999"),
    run("compaction", "25", "--physical"),
    run("get", "c", "--rev", "3"),
    { kind: "watch", args: ["watch", "c", "--rev", "3"], during: [], lines: 1 },
    // Hashes, before lease ids that only the server chooses become part of what is hashed.
    ...inAllAndTable("endpoint", "hashkv"),
    ...(version === "3.6" ? [run("endpoint", "hashkv", "--rev", "30")] : []),
    // Leases.
    { kind: "grant", name: "one", seconds: 1_000 },
    run("put", "leased", "value", "--lease", "{one}"),
    ...inAll("get", "leased", "--prefix"),
    ...inAll("lease", "timetolive", "{one}", "--keys"),
    run("lease", "timetolive", "{one}"),
    run("put", "leased2", "value", "--lease", "{one}"),
    ...inAll("lease", "list"),
    ...inAll("lease", "keep-alive", "--once", "{one}"),
    run("put", "leased", "kept", "--ignore-lease"),
    run("lease", "revoke", "{one}"),
    run("lease", "revoke", "{one}"),
    run("lease", "timetolive", "{one}"),
    run("lease", "keep-alive", "--once", "{one}"),
    run("get", "leased", "--prefix"),
    // The recipes that etcdctl builds from keys, leases and watches.
    run("lock", "a-lock", "echo", "held"),
    // The member.
    ...inAllAndTable("endpoint", "status"),
    ...inAllAndTable("endpoint", "health"),
    ...inAllAndTable("member", "list"),
    run("alarm", "list"),
    ...(version === "3.6" ? [run("endpoint", "status", "--cluster")] : []),
    ...inAll("get", "", "--prefix"),
  ];
}
