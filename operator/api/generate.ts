// Writes the definitions into crds/: `npm run crds`. With --check it writes nothing and fails when they differ.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "yaml";
import { customResourceDefinitions } from "./definitions.ts";

const folder = join(import.meta.dirname, "..", "..", "crds");
const header = '# Generated from operator/api by "npm run crds".\n';
const wanted = new Map(
  customResourceDefinitions().map((definition) => [
    `${definition.metadata.name}.yaml`,
    header + stringify(definition, { lineWidth: 0, aliasDuplicateObjects: false }),
  ]),
);

if (process.argv.includes("--check")) {
  const found = new Map(readdirSync(folder).map((name) => [name, readFileSync(join(folder, name), "utf8")]));
  const differing = [...new Set([...wanted.keys(), ...found.keys()])]
    .filter((name) => wanted.get(name) !== found.get(name))
    .sort();
  if (differing.length > 0) {
    console.error(`crds is stale, run "npm run crds":\n  ${differing.join("\n  ")}`);
    process.exitCode = 1;
  }
} else {
  for (const [name, text] of wanted) writeFileSync(join(folder, name), text);
}
