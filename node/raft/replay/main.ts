// npm run raft:replay -- DIR: replays every transcript below a folder. The nearest folder named interaction, quorum
// or confchange says of which form a file is. REWRITE=1 replaces expected outputs by actual ones.

import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { basename, join, relative, resolve } from "node:path";
import process from "node:process";
import { formOf, replay, rewrite } from "./replay.ts";

function main(args: readonly string[]): number {
  const [folder] = args;
  if (folder === undefined || args.length !== 1) {
    process.stderr.write("usage: npm run raft:replay -- DIR\n");
    return 2;
  }
  const root = resolve(folder);
  if (statSync(root, { throwIfNoEntry: false }) === undefined) {
    process.stderr.write(`no such file or folder: ${root}\n`);
    return 2;
  }
  const files = transcriptsBelow(root);
  if (files.length === 0) {
    process.stderr.write(`no transcripts below ${root}\n`);
    return 1;
  }
  let failures = 0;
  for (const file of files) if (!replayFile(root, file)) failures++;
  process.stdout.write(`${files.length - failures} of ${files.length} transcripts passed\n`);
  return failures === 0 ? 0 : 1;
}

function replayFile(root: string, file: string): boolean {
  const name = relative(root, file) || basename(file);
  const form = formOf(file);
  if (form === undefined) {
    process.stdout.write(`FAIL ${name}: in no folder named interaction, quorum or confchange\n`);
    return false;
  }
  const text = readFileSync(file, "utf8");
  if (process.env["REWRITE"] === "1") {
    const rewritten = rewrite(form, text);
    if (rewritten !== text) writeFileSync(file, rewritten);
  }
  const result = replay(form, process.env["REWRITE"] === "1" ? readFileSync(file, "utf8") : text);
  if (result.ok) {
    process.stdout.write(`ok   ${name} (${result.commandCount} commands)\n`);
    return true;
  }
  process.stdout.write(`FAIL ${name}:${result.line}: ${result.command}\n${result.problem}`);
  return false;
}

/** Files in name order. Outside of the three kinds of folder only *.txt counts, so that a README is no failure. */
function transcriptsBelow(path: string): string[] {
  if (!statSync(path).isDirectory()) return [path];
  const files: string[] = [];
  for (const name of readdirSync(path).sort()) {
    if (name.startsWith(".") || name.endsWith("~") || name.endsWith(".md")) continue;
    const inner = join(path, name);
    if (statSync(inner).isDirectory()) files.push(...transcriptsBelow(inner));
    else if (name.endsWith(".txt") || formOf(inner) !== undefined) files.push(inner);
  }
  return files;
}

process.exitCode = main(process.argv.slice(2));
