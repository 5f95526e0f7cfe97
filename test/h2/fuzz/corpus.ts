// The inputs that mutation begins with. The committed ones, which every run replays first, and the finds: inputs that runs
// on this machine have kept since because they reached code that no other did. `--merge-corpus` makes one of the two.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";

/** One input a line, in hex. */
export const corpusFile = join(import.meta.dirname, "corpus.txt");
const cacheFolder = process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache");
export const findsFile = join(cacheFolder, "etcdlike-fuzz", "h2.txt");
/** A run of a minute finds some 150. With 2 KiB each they take 8 MiB in hex. */
const findsMax = 2_000;

/** None where there is no file. */
export function readInputs(file: string): Buffer[] {
  let text = "";
  try {
    text = readFileSync(file, "latin1");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => Buffer.from(line, "hex"));
}

/** The last of them, where they are too many. */
export function keepFinds(finds: readonly Buffer[]): void {
  mkdirSync(dirname(findsFile), { recursive: true });
  writeFileSync(findsFile, linesOf(finds.slice(-findsMax)).join(""));
}

/** They are committed now, as far as they are needed. */
export function writeCorpus(corpus: readonly Buffer[]): void {
  writeFileSync(corpusFile, linesOf(corpus).sort().join(""));
  rmSync(findsFile, { force: true });
}

function linesOf(inputs: readonly Buffer[]): string[] {
  return inputs.map((input) => `${input.toString("hex")}\n`);
}
