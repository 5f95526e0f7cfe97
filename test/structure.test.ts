// Holds the shape of the house: who may import whom, and what the core must not touch.

import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { dirname, join, normalize, relative } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));

/** Folders of `node/` and the other folders whose files they may import. */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  lib: [],
  wire: ["lib", "proto"],
  raft: ["lib", "wire"],
  mvcc: ["lib", "wire"],
  lease: ["lib", "wire"],
  auth: ["lib", "wire"],
  membership: ["lib", "wire"],
  apply: ["lib", "wire", "mvcc", "lease", "auth", "membership"],
  replica: ["lib", "wire", "raft", "mvcc", "lease", "auth", "membership", "apply"],
  storage: ["lib", "wire", "ports"],
  observe: ["lib", "wire", "api", "ports"],
  peer: ["lib", "wire", "ports"],
  api: ["lib", "wire", "raft", "mvcc", "lease", "auth", "membership", "apply", "replica"],
  grpc: ["lib", "wire", "api"],
  http: ["lib", "wire", "api"],
  migrate: ["lib", "wire", "mvcc", "lease", "membership", "replica", "storage"],
  tls: ["lib", "cli"],
  cli: ["lib", "wire", "mvcc", "lease", "membership", "replica", "storage", "migrate"],
  artifact: ["lib", "wire", "mvcc", "storage", "cli"],
};

/** Files that declare a port: adapters may import them wherever they stand. */
const ports: readonly string[] = [
  "node/replica/log-store.ts",
  "node/api/snapshot-port.ts",
  "node/grpc/metrics.ts",
  "node/http/status-port.ts",
  "node/peer/port.ts",
];

/** Synchronous and deterministic: the simulator runs whole clusters of these from one seed. */
const core = ["raft", "mvcc", "lease", "auth", "membership", "apply", "replica"];

const banned: readonly { readonly what: string; readonly pattern: RegExp }[] = [
  { what: "a clock", pattern: /\bDate\.now\b|\bnew Date\b|\bperformance\.now\b|\bhrtime\b/ },
  { what: "randomness", pattern: /\bMath\.random\b|\brandomBytes\b|\bgetRandomValues\b/ },
  { what: "a promise", pattern: /\bPromise\b|\basync\s+(?:function\b|\(|\*|#?[\w$]+\s*(?:\(|=>))|\bawait\s/ },
  {
    what: "a timer",
    pattern: /\bsetTimeout\b|\bsetInterval\b|\bsetImmediate\b|\bqueueMicrotask\b|\bnextTick\b/,
  },
  { what: "the process", pattern: /\bprocess\./ },
  { what: "I/O", pattern: /from "node:|import\("node:|\brequire\(/ },
];

interface SourceFile {
  readonly path: string;
  readonly folder: string;
  readonly text: string;
  readonly imports: readonly string[];
}

function sources(top: "node" | "operator" = "node"): SourceFile[] {
  return globSync(`${top}/**/*.ts`, { cwd: root })
    .filter((path) => !path.endsWith(".test.ts") && !path.includes("/testing/"))
    .sort()
    .map((path) => {
      const text = readFileSync(join(root, path), "utf8");
      const imports = [...text.matchAll(/(?:from|import\()\s*"([^"]+)"/g)].map((match) => match[1] as string);
      const parts = path.split("/");
      return { path, folder: parts.length > 2 ? (parts[1] as string) : "main", text, imports };
    });
}

/** Comments may speak of clocks and promises; code of the core may not use them. */
function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/(^|[^:"'`])\/\/.*$/gm, "$1");
}

function targetOf(file: SourceFile, specifier: string): string | undefined {
  if (!specifier.startsWith(".")) return undefined;
  return relative(root, normalize(join(root, dirname(file.path), specifier)));
}

test("every folder imports only what lies below it", () => {
  const wrong: string[] = [];
  for (const file of sources()) {
    if (file.folder === "main") continue;
    const allowed = mayImport[file.folder];
    assert.ok(allowed, `node/${file.folder} has no row in the table of directions`);
    for (const specifier of file.imports) {
      const target = targetOf(file, specifier);
      if (target === undefined) continue;
      if (target.startsWith("proto/")) {
        if (!allowed.includes("proto")) wrong.push(`${file.path} imports ${target}`);
        continue;
      }
      const folder = target.split("/")[1] as string;
      const isPort = allowed.includes("ports") && ports.includes(target);
      if (folder !== file.folder && !allowed.includes(folder) && !isPort) {
        wrong.push(`${file.path} imports ${target}`);
      }
    }
  }
  assert.deepEqual(wrong, []);
});

test("the core uses no clock, randomness, promise, timer or I/O", () => {
  const wrong: string[] = [];
  for (const file of sources()) {
    if (!core.includes(file.folder) || file.path.startsWith("node/raft/replay/")) continue;
    const code = withoutComments(file.text);
    for (const { what, pattern } of banned) {
      const match = pattern.exec(code);
      if (match) wrong.push(`${file.path} uses ${what}: ${match[0]}`);
    }
  }
  assert.deepEqual(wrong, []);
});

test("the ban sees what it forbids", () => {
  const planted = "const t = Date.now(); // fine";
  assert.ok(banned.some(({ pattern }) => pattern.test(withoutComments(planted))));
  assert.ok(
    !banned.some(({ pattern }) => pattern.test(withoutComments("// Date.now is banned\nconst x = 1;"))),
  );
});

test("no file imports itself through a cycle of folders", () => {
  const edges = new Map<string, Set<string>>();
  for (const file of sources()) {
    if (file.folder === "main") continue;
    for (const specifier of file.imports) {
      const target = targetOf(file, specifier);
      if (!target?.startsWith("node/") || ports.includes(target)) continue;
      const folder = target.split("/")[1] as string;
      if (folder === file.folder) continue;
      const out = edges.get(file.folder) ?? new Set<string>();
      out.add(folder);
      edges.set(file.folder, out);
    }
  }
  const done = new Set<string>();
  const visit = (folder: string, trail: readonly string[]): void => {
    assert.ok(!trail.includes(folder), `cycle of folders: ${[...trail, folder].join(" -> ")}`);
    if (done.has(folder)) return;
    for (const next of edges.get(folder) ?? []) visit(next, [...trail, folder]);
    done.add(folder);
  };
  for (const folder of edges.keys()) visit(folder, []);
});

/** Folders of `operator/` and the other folders whose files they may import; `proto` is proto/gen. */
const operatorMayImport: Readonly<Record<string, readonly string[]>> = {
  lib: [],
  api: ["lib"],
  kube: ["lib"],
  runtime: ["lib", "kube"],
  model: ["lib", "api", "kube"],
  render: ["lib", "api", "model"],
  control: ["lib", "api", "model", "render"],
  member: ["lib", "model", "proto"],
  snapshots: ["lib", "api", "kube", "runtime", "model", "render", "control"],
  pki: ["lib"],
  reconcile: ["lib", "api", "kube", "model", "render", "control", "member", "pki"],
};

/** Pure: what they give depends on their arguments only. */
const operatorPure: readonly string[] = ["api", "model", "control"];

test("the operator knows nothing of the member's code, and its folders import only what lies below", () => {
  const wrong: string[] = [];
  for (const file of sources("operator")) {
    if (file.folder === "main") continue;
    const allowed = operatorMayImport[file.folder];
    assert.ok(allowed, `operator/${file.folder} has no row in the table of directions`);
    for (const specifier of file.imports) {
      const target = targetOf(file, specifier);
      if (target === undefined) continue;
      const [root, folder] = target.split("/") as [string, string];
      const name = root === "operator" ? folder : root;
      if (name !== file.folder && !allowed.includes(name)) wrong.push(`${file.path} imports ${target}`);
    }
    if (!operatorPure.includes(file.folder) || file.path === "operator/api/generate.ts") continue;
    for (const { what, pattern } of banned) {
      const match = pattern.exec(withoutComments(file.text));
      if (match) wrong.push(`${file.path} uses ${what}: ${match[0]}`);
    }
  }
  assert.deepEqual(wrong, []);
});
