// The fuzzer over frames, HPACK and gRPC messages. It replays the committed corpus and what earlier runs found, then
// mutates both. Inputs that reach code no other reached are kept for the next run on this machine; merging writes
// corpus.txt anew, with as few and as short inputs as reach the same places, to be committed. An input that breaks a
// rule is printed whole; put it into the corpus with the fix.
import { SeededRandom } from "../../../node/lib/random.ts";
import type { Report } from "../main.ts";
import { corpusFile, findsFile, keepFinds, readInputs, writeCorpus } from "./corpus.ts";
import { Coverage } from "./coverage.ts";
import { generate, mutate, split } from "./inputs.ts";
import { assertSame, feed } from "./target.ts";

/** Asking for coverage costs as much as many inputs do. */
const batchInputs = 64;
const groupInputs = 8;

export interface FuzzOptions {
  readonly seconds: number;
  /** Makes what was found part of the committed corpus. */
  readonly isMerging: boolean;
}

export async function runFuzz(report: Report, { seconds, isMerging }: FuzzOptions): Promise<void> {
  const seed = Number(process.env["FUZZ_SEED"] ?? Date.now() % 2 ** 32);
  const random = new SeededRandom(seed);
  const coverage = new Coverage();
  const corpus = readInputs(corpusFile);
  const committed = corpus.length;
  let inputs = 0;
  let failure: string | undefined;
  const check = async (input: Uint8Array): Promise<void> => {
    inputs += 1;
    try {
      assertSame(await feed([input]), await feed(split(random, input)));
    } catch (error) {
      failure ??= `${error instanceof Error ? error.stack : error}\nseed ${seed}, input ${Buffer.from(input).toString("hex")}`;
    }
  };
  for (const input of corpus) await check(input);
  coverage.see(coverage.fresh());
  report(`fuzz: the corpus of ${committed} inputs`, failure);

  failure = undefined;
  for (const input of readInputs(findsFile)) {
    await check(input);
    const places = coverage.fresh();
    if (places.length === 0) continue;
    coverage.see(places);
    corpus.push(input);
  }
  const kept = corpus.length - committed;
  if (kept > 0 || failure !== undefined) report(`fuzz: ${kept} inputs that earlier runs found`, failure);

  failure = undefined;
  const endMs = performance.now() + seconds * 1000;
  while (performance.now() < endMs && failure === undefined) {
    const batch = Array.from({ length: batchInputs }, () => next(random, corpus));
    for (const input of batch) await check(input);
    if (coverage.fresh().length === 0) continue;
    for (let at = 0; at < batch.length; at += groupInputs) {
      const group = batch.slice(at, at + groupInputs);
      for (const input of group) await check(input);
      if (coverage.fresh().length === 0) continue;
      for (const input of group) {
        await check(input);
        const places = coverage.fresh();
        if (places.length === 0) continue;
        coverage.see(places);
        corpus.push(input);
      }
    }
  }
  if (isMerging && failure === undefined) writeCorpus(await fewest(corpus, coverage));
  else keepFinds(corpus.slice(committed));
  coverage.stop();
  console.log(
    `     ${inputs} inputs, ${coverage.size} places of the code, ${corpus.length - committed - kept} inputs found, seed ${seed}`,
  );
  report(`fuzz: ${seconds} s of mutated conversations`, failure);
}

function next(random: SeededRandom, corpus: readonly Buffer[]): Buffer {
  if (corpus.length === 0 || random.below(4) === 0) return generate(random);
  const pick = (): Buffer => corpus[random.below(corpus.length)] as Buffer;
  return mutate(random, pick(), pick());
}

/** Inputs that together reach every place that all of them reach: always the one that adds most, or the shorter one. */
async function fewest(corpus: readonly Buffer[], coverage: Coverage): Promise<Buffer[]> {
  const left: { readonly input: Buffer; places: readonly string[] }[] = [];
  coverage.places();
  for (const input of corpus) {
    await feed([input]);
    await feed([...input].map((byte) => Uint8Array.of(byte)));
    left.push({ input, places: coverage.places() });
  }
  const reached = new Set<string>();
  const chosen: Buffer[] = [];
  for (;;) {
    for (const one of left) one.places = one.places.filter((place) => !reached.has(place));
    left.sort((a, b) => b.places.length - a.places.length || a.input.length - b.input.length);
    const best = left.shift();
    if (best === undefined || best.places.length === 0) return chosen;
    chosen.push(best.input);
    for (const place of best.places) reached.add(place);
  }
}
