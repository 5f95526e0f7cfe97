// `npm run test:power`: power cuts on a real member.
//
// A member runs under load with every write, sync, rename and truncate of its data directory recorded, and a
// marker wherever a client had its answer. From the trace, a thousand disks are made as a power cut at a random
// point could have left them. The member has to open each and serve exactly the history up to some revision at or
// above the last one that was acknowledged. Three mutants have to be caught the same way.
//
// Options: --states N, --writes N, --seed N, --only real|MUTANT.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { must } from "../../node/lib/assert.ts";
import { equalBytes } from "../../node/lib/bytes.ts";
import { SeededRandom } from "../../node/lib/random.ts";
import { Checker } from "./checker.ts";
import { type CutMode, DiskModel, type Image } from "./disk-model.ts";
import { type Mutant, mutants, type Recording, recordMember } from "./record.ts";

interface Cut {
  readonly number: number;
  /** Events of the trace that had happened. */
  readonly at: number;
  readonly mode: CutMode;
  readonly image: Image;
  readonly acknowledgedRevision: number;
}

interface CutRange {
  readonly count: number;
  /** The first event in front of which the power may go. */
  readonly from: number;
  readonly stopsAtFailure: boolean;
}

interface Tally {
  states: number;
  acknowledged: number;
  sectorsLost: number;
  namesLost: number;
  recoveredBeyond: number;
  readonly failures: string[];
}

const { values } = parseArgs({
  options: {
    states: { type: "string", default: "1000" },
    writes: { type: "string", default: "1200" },
    seed: { type: "string", default: "1" },
    only: { type: "string" },
  },
});
const states = Number(values.states);
const writes = Number(values.writes);
const seed = Number(values.seed);
/** A mutant is caught by the first failure; a run without any this long counts as missed. */
const mutantStates = Math.min(states, 400);
const checkers = 2;

let isGood = true;
for (const variant of ["real", ...mutants] as const) {
  if (values.only !== undefined && values.only !== variant) continue;
  const root = mkdtempSync(join(tmpdir(), "etcdlike-power-"));
  try {
    const mutant: Mutant | undefined = variant === "real" ? undefined : variant;
    const recording = await recordMember(root, writes, mutant);
    if (mutant === undefined) expectComplete(recording);
    // A mutant need not survive its first start; what counts are the writes that it acknowledged.
    const half = Math.floor(recording.events.length / 2);
    const range =
      mutant === undefined
        ? { count: states, from: 0, stopsAtFailure: false }
        : { count: mutantStates, from: half, stopsAtFailure: true };
    const tally = await cutPower(root, recording, range);
    report(variant, recording, tally);
    const isExpected = mutant === undefined ? tally.failures.length === 0 : tally.failures.length > 0;
    isGood &&= isExpected;
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}
process.exit(isGood ? 0 : 1);

/** The model of the disk, fed with the whole trace, equals the disk: nothing went by unrecorded. */
function expectComplete({ events, dataDir }: Recording): void {
  const model = new DiskModel(dirname(dataDir));
  for (const event of events) model.apply(event);
  const mapped = new Set(events.flatMap((event) => (event.kind === "map" ? [event.path] : [])));
  for (const path of mapped) {
    // LMDB's lock file holds reader slots and is made anew at every start; nothing else may be mapped for writing.
    if (!path.endsWith("/lock.mdb")) throw new Error(`${path} is written through a mapping`);
  }
  const files = model.liveFiles();
  for (const [path, bytes] of files) {
    if (mapped.has(path)) continue;
    if (!equalBytes(readFileSync(path), bytes))
      throw new Error(`the trace does not lead to ${path} as it is`);
  }
  if (files.size < 5) throw new Error(`the trace has only ${files.size} files`);
}

async function cutPower(root: string, recording: Recording, range: CutRange): Promise<Tally> {
  const historyFile = join(root, "history.json");
  writeFileSync(historyFile, JSON.stringify(recording.history));
  const tally: Tally = {
    states: 0,
    acknowledged: 0,
    sectorsLost: 0,
    namesLost: 0,
    recoveredBeyond: 0,
    failures: [],
  };
  const cuts = cutsOf(recording, range);
  const work = async (): Promise<void> => {
    const checker = new Checker(historyFile);
    for (const cut of cuts) {
      const answer = await checker.check(cut.image, recording.dataDir, cut.acknowledgedRevision);
      tally.states++;
      tally.sectorsLost += cut.image.sectorsLost;
      tally.namesLost += cut.image.namesLost;
      tally.acknowledged = Math.max(tally.acknowledged, cut.acknowledgedRevision);
      if (answer.revision > cut.acknowledgedRevision) tally.recoveredBeyond++;
      if (answer.problem !== undefined) {
        const { at, mode } = cut;
        tally.failures.push(`state ${cut.number}, cut in front of event ${at}, ${mode}: ${answer.problem}`);
      }
      if (range.stopsAtFailure && tally.failures.length > 0) break;
    }
    checker.stop();
  };
  await Promise.all(Array.from({ length: checkers }, work));
  return tally;
}

/** Made one by one, in the order of the trace, as the checkers ask for them. */
function* cutsOf({ events, dataDir }: Recording, { count, from }: CutRange): Generator<Cut> {
  const random = new SeededRandom(seed);
  const model = new DiskModel(dirname(dataDir));
  const modes: readonly CutMode[] = ["random", "random", "loseAll", "keepAll"];
  const draw = (): number => from + random.below(events.length + 1 - from);
  const points = Array.from({ length: count }, draw).sort((a, b) => a - b);
  let applied = 0;
  let acknowledgedRevision = 0;
  for (const [number, at] of points.entries()) {
    for (; applied < at; applied++) {
      const event = must(events[applied], "the point is within the trace");
      model.apply(event);
      if (event.kind === "acknowledged") {
        acknowledgedRevision = Math.max(acknowledgedRevision, event.revision);
      }
    }
    const mode = must(modes[random.below(modes.length)], "the mode is in the list");
    yield { number, at, mode, image: model.image(random, mode), acknowledgedRevision };
  }
}

function report(variant: string, { events, history }: Recording, tally: Tally): void {
  const counts = new Map<string, number>();
  for (const { kind } of events) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  const kinds = [...counts].map(([kind, count]) => `${kind} ${count}`).join(", ");
  console.log(`${variant}: ${history.length} revisions acknowledged; trace: ${kinds}`);
  console.log(
    `${variant}: ${tally.states} states opened, ${tally.sectorsLost} sectors and ${tally.namesLost} names lost, ` +
      `${tally.recoveredBeyond} states beyond the acknowledged revision, ${tally.failures.length} failures`,
  );
  for (const failure of tally.failures.slice(0, 5)) console.log(`  ${failure}`);
  if (variant !== "real") console.log(`${variant}: ${tally.failures.length > 0 ? "caught" : "NOT CAUGHT"}`);
}
