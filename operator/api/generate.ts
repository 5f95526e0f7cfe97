// Writes the definitions into crds/ and, for helm, into the chart: `npm run crds`. With --check it writes nothing
// and fails when they differ.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { stringify } from "yaml";
import { customResourceDefinitions } from "./definitions.ts";

const root = join(import.meta.dirname, "..", "..");
const folders = [join(root, "crds"), join(root, "charts", "etcdlike", "files", "crds")];
const header = '# Generated from operator/api by "npm run crds".\n';
const wanted = new Map(
  customResourceDefinitions().map((definition) => [
    `${definition.metadata.name}.yaml`,
    header + stringify(definition, { version: "1.1", lineWidth: 0, aliasDuplicateObjects: false }),
  ]),
);

for (const folder of folders) {
  if (process.argv.includes("--check")) check(folder);
  else for (const [name, text] of wanted) writeFileSync(join(folder, name), text);
}

function check(folder: string): void {
  const found = new Map(readdirSync(folder).map((name) => [name, readFileSync(join(folder, name), "utf8")]));
  const differing = [...new Set([...wanted.keys(), ...found.keys()])]
    .filter((name) => wanted.get(name) !== found.get(name))
    .sort();
  if (differing.length === 0) return;
  console.error(`${relative(root, folder)} is stale, run "npm run crds":\n  ${differing.join("\n  ")}`);
  process.exitCode = 1;
}
