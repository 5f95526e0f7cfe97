// Runs every unit and simulation test that needs npm packages only. Arguments narrow it to matching paths.
import { spawnSync } from "node:child_process";
import { globSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const needed = [24, 18, 1];
const found = process.versions.node.split(".").map(Number);
const difference = found.map((part, i) => part - needed[i]).find((d) => d !== 0) ?? 0;
if (difference < 0) {
  console.error(
    `Node ${process.versions.node} found, ${needed.join(".")} or newer needed: run "npm ci" on Linux x64 or arm64, or install Node 24.`,
  );
  process.exit(1);
}

const wanted = process.argv.slice(2);
const files = globSync(
  ["node/**/*.test.ts", "operator/**/*.test.ts", "test/*.test.ts", "test/{sim,chaos}/**/*.test.ts"],
  { cwd: root },
)
  .filter((file) => wanted.length === 0 || wanted.some((part) => file.includes(part)))
  .sort();
if (files.length === 0) {
  console.error(`no test file matches ${wanted.join(" ")}`);
  process.exit(1);
}
const run = spawnSync(process.execPath, ["--test", "--test-concurrency=2", ...files], {
  cwd: root,
  stdio: "inherit",
});
process.exit(run.status ?? 1);
