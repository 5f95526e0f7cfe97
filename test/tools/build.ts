// Builds the Go tools: `node test/tools/build.ts [family...]`, the usual families without an argument.
import { buildFamily, familyNames, usualFamilies } from "./toolchain.ts";

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !familyNames.includes(name));
if (unknown.length > 0) {
  console.error(`unknown family ${unknown.join(", ")}; known: ${familyNames.join(", ")}`);
  process.exit(2);
}
for (const name of wanted.length > 0 ? wanted : usualFamilies) {
  const started = performance.now();
  const folder = await buildFamily(name);
  console.log(`${name}: ${folder} (${((performance.now() - started) / 1000).toFixed(1)} s)`);
}
