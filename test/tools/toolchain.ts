// Programs the tests need and that have to be built: etcd, etcdctl and others, from pinned Go modules.
// They live outside the checkout, in a folder named after everything that decides their bytes, so that fresh
// clones share one build. Of two builders at once the second waits for the first, family by family.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { access, mkdtemp, readdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { must } from "../../node/lib/assert.ts";
import { exclusively, toolCache } from "./lock.ts";

interface Family {
  /** The folder of its go.mod, seen from this one. */
  readonly source: string;
  /** Packages to build; a program is called like the last part of its path, major version left out. */
  readonly packages: readonly string[];
  /** Programs whose package has another name than the tool. */
  readonly renames: Readonly<Record<string, string>>;
  readonly tools: readonly string[];
  /** Built when something needs it, and not with all others. */
  readonly isOnDemand?: boolean;
  /** For the linker: `-s -w` keeps large programs small, `-X` sets a version. */
  readonly linkerFlags?: string;
}

const kubernetesLinkerFlags = [
  "-s -w",
  ...["gitVersion=v1.34.4", "gitMajor=1", "gitMinor=34"].map(
    (set) => `-X k8s.io/component-base/version.${set}`,
  ),
].join(" ");

const families: Readonly<Record<string, Family>> = {
  etcd: {
    source: "go/etcd",
    packages: ["go.etcd.io/etcd/server/v3", "go.etcd.io/etcd/etcdctl/v3", "go.etcd.io/etcd/etcdutl/v3"],
    renames: { server: "etcd" },
    tools: ["etcd", "etcdctl", "etcdutl"],
  },
  // The releases before and after, whose data directories are taken over.
  "etcd-3.5": {
    source: "go/etcd-3.5",
    packages: ["go.etcd.io/etcd/server/v3"],
    renames: { server: "etcd-3.5" },
    tools: ["etcd-3.5"],
  },
  "etcd-3.7": {
    source: "go/etcd-3.7",
    packages: ["go.etcd.io/etcd/server/v3"],
    renames: { server: "etcd-3.7" },
    tools: ["etcd-3.7"],
  },
  "etcd-tools": {
    source: "go/etcd-tools",
    packages: [
      "go.etcd.io/etcd/v3/tools/benchmark",
      "go.etcd.io/etcd/v3/tools/etcd-dump-db",
      "go.etcd.io/etcd/v3/tools/etcd-dump-logs",
    ],
    renames: {},
    tools: ["benchmark", "etcd-dump-db", "etcd-dump-logs"],
  },
  h2spec: {
    source: "go/h2spec",
    packages: ["github.com/summerwind/h2spec/cmd/h2spec"],
    renames: {},
    tools: ["h2spec"],
  },
  // A server that speaks S3.
  minio: {
    source: "go/minio",
    packages: ["github.com/minio/minio"],
    renames: {},
    tools: ["minio"],
    linkerFlags: "-s -w",
  },
  "client-checks": {
    source: "../e2e/go",
    packages: ["."],
    renames: {},
    tools: ["clientv3-checks"],
  },
  kubernetes: {
    source: "go/kubernetes",
    packages: ["k8s.io/kubernetes/cmd/kube-apiserver", "k8s.io/kubernetes/cmd/kube-controller-manager"],
    renames: {},
    tools: ["kube-apiserver", "kube-controller-manager"],
    linkerFlags: kubernetesLinkerFlags,
  },
  // Prometheus' own parser of rules and expressions.
  prometheus: {
    source: "go/prometheus",
    packages: ["."],
    renames: { prometheus: "check-queries" },
    tools: ["check-queries"],
  },
  coredns: {
    source: "go/coredns",
    packages: ["."],
    renames: {},
    tools: ["coredns"],
    isOnDemand: true,
    linkerFlags: "-s -w",
  },
  "kubernetes-nodes": {
    source: "go/kubernetes",
    packages: [
      "k8s.io/kubernetes/cmd/kube-proxy",
      "k8s.io/kubernetes/cmd/kube-scheduler",
      "k8s.io/kubernetes/cmd/kubelet",
    ],
    renames: {},
    tools: ["kube-proxy", "kube-scheduler", "kubelet"],
    isOnDemand: true,
    linkerFlags: kubernetesLinkerFlags,
  },
};

export const familyNames: readonly string[] = Object.keys(families);

/** Those that are built without being asked for by name. */
export const usualFamilies: readonly string[] = familyNames.filter(
  (name) => families[name]?.isOnDemand !== true,
);

const building = new Map<string, Promise<string>>();

/** The path of a tool that is known to exist, built first if it does not. */
export async function toolPath(tool: string): Promise<string> {
  const entry = Object.entries(families).find(([, family]) => family.tools.includes(tool));
  const [name] = must(entry, "a tool belongs to a family", { tool });
  return join(await buildFamily(name), tool);
}

/** Builds a family unless its key is already there. Returns the folder of its programs. */
export function buildFamily(name: string): Promise<string> {
  const under = building.get(name) ?? build(name);
  building.set(name, under);
  return under;
}

async function build(name: string): Promise<string> {
  const family = must(families[name], "the family exists", { name, known: familyNames });
  const source = join(import.meta.dirname, family.source);
  const target = join(toolCache, `${name}-${await familyKey(source, family)}`);
  if (await exists(target)) return target;
  await exclusively(name, async () => {
    if (!(await exists(target))) await buildInto(target, name, family, source);
  });
  return target;
}

async function buildInto(target: string, name: string, family: Family, source: string): Promise<void> {
  await requireGo(name);
  const folder = await mkdtemp(join(toolCache, `.building-${name}-`));
  try {
    const flags = ["-trimpath", ...(family.linkerFlags ? ["-ldflags", family.linkerFlags] : [])];
    await run("nice", ["go", "build", ...flags, "-o", `${folder}/`, ...family.packages], source);
    for (const [from, to] of Object.entries(family.renames))
      await rename(join(folder, from), join(folder, to));
    await rename(folder, target);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function familyKey(source: string, family: Family): Promise<string> {
  const hash = createHash("sha256");
  const files = (await readdir(source)).filter((file) => /^go\.(mod|sum)$|\.go$/.test(file)).sort();
  for (const file of files) hash.update(await readFile(join(source, file)));
  hash.update(JSON.stringify([family, process.platform, process.arch]));
  return hash.digest("hex").slice(0, 16);
}

async function requireGo(family: string): Promise<void> {
  const output = await capture("go", ["version"]).catch((cause: unknown) => {
    throw new Error(
      `building the tool family "${family}" needs Go 1.26 or newer on PATH: https://go.dev/dl, ` +
        "or Debian's golang-go from backports",
      { cause },
    );
  });
  const version = /go(\d+)\.(\d+)/.exec(output);
  const [major, minor] = [Number(version?.[1]), Number(version?.[2])];
  if (major > 1 || minor >= 26) return;
  throw new Error(`building the tool family "${family}" needs Go 1.26 or newer; found ${output.trim()}`);
}

function capture(command: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "inherit"] });
    let output = "";
    child.stdout.on("data", (chunk: Buffer) => {
      output += chunk.toString();
    });
    child.on("error", reject);
    child.on("close", (code) => {
      if (code === 0) resolve(output);
      else reject(new Error(`${command} ${args.join(" ")} exited with ${code}`));
    });
  });
}

function run(command: string, args: readonly string[], cwd: string): Promise<void> {
  const env = { ...process.env, CGO_ENABLED: "0", GOFLAGS: "-mod=mod -buildvcs=false" };
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, env, stdio: ["ignore", "inherit", "inherit"] });
    child.on("error", reject);
    child.on("close", (code) => {
      if (code === 0) resolve();
      else reject(new Error(`${command} ${args.join(" ")} in ${cwd} exited with ${code}`));
    });
  });
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
