// Fails when proto/gen is not what the .proto files generate, so that the two cannot drift apart.

import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";

const proto = import.meta.dirname;
const bin = join(dirname(proto), "node_modules", ".bin");
const fresh = mkdtempSync(join(tmpdir(), "proto-check-"));
try {
  execFileSync(
    join(bin, "buf"),
    ["generate", proto, "--template", join(proto, "buf.gen.yaml"), "--output", fresh],
    {
      stdio: "inherit",
      env: { ...process.env, PATH: `${bin}:${process.env.PATH}` },
    },
  );
  const wanted = filesBelow(join(fresh, "gen"));
  const found = filesBelow(join(proto, "gen"));
  const differing = [...new Set([...wanted.keys(), ...found.keys()])]
    .filter((name) => wanted.get(name) !== found.get(name))
    .sort();
  if (differing.length > 0) {
    console.error(`proto/gen is stale, run "npm run proto":\n  ${differing.join("\n  ")}`);
    process.exitCode = 1;
  }
} finally {
  rmSync(fresh, { recursive: true, force: true });
}

function filesBelow(root) {
  const names = readdirSync(root, { recursive: true, encoding: "utf8" });
  const files = names.map((name) => join(root, name)).filter((path) => statSync(path).isFile());
  return new Map(files.map((path) => [relative(root, path), readFileSync(path, "utf8")]));
}
