// The differential test: our member and a real etcd answer the same questions, and everything is compared.
//
//   npm run test:etcd -- [--ci] [--seed N] [--seeds M] [--ops K] [--only PART] [--subject KIND] [--defect NAME]
//
// Parts: histories (random, seeded), defects (each planted defect must be caught), cases (known traps, one by
// one), etcdctl (its output, line by line), gateway (answers to JSON over HTTP), clusters of three (`--group NAME` for some). `--subject etcd` compares etcd with itself, which checks the test.
import { parseArgs } from "node:util";
import { type Member, type MemberKind, start } from "../tools/member.ts";
import { runCases } from "./cases/run.ts";
import { runClusters } from "./clusters/run.ts";
import { defectNames } from "./defects.ts";
import { runEtcdctl } from "./etcdctl/run.ts";
import { runGateway } from "./gateway/run.ts";
import { type HistoryDifference, runHistory } from "./history.ts";
import { printMask } from "./mask.ts";
import { VariantCounts } from "./variants.ts";

const ciSeeds = 20;
const localSeeds = 3;
const defaultOps = 2_000;
const defectOps = 600;
/** A shorter run may miss a rare answer by chance; from here on a missing one is a fault of the test. */
const opsThatMustReachAll = 6_000;
const parts = ["histories", "defects", "cases", "etcdctl", "gateway", "clusters"] as const;

const { values: args } = parseArgs({
  options: {
    ci: { type: "boolean", default: process.env["CI"] !== undefined },
    seed: { type: "string", default: "1" },
    seeds: { type: "string" },
    ops: { type: "string", default: String(defaultOps) },
    only: { type: "string" },
    subject: { type: "string", default: "etcdlike" },
    defect: { type: "string" },
    group: { type: "string" },
  },
});

const subjectKind = args.subject as MemberKind;
const firstSeed = Number(args.seed);
const seedCount = Number(args.seeds ?? (args.ci ? ciSeeds : localSeeds));
const ops = Number(args.ops);
const counts = { passed: 0, failed: 0 };

function result(ok: boolean, name: string): void {
  counts[ok ? "passed" : "failed"]++;
  console.log(`${ok ? "ok  " : "FAIL"} ${name}`);
}

async function onTwoMembers<T>(
  kind: MemberKind,
  run: (reference: Member, subject: Member) => Promise<T>,
): Promise<T> {
  const reference = await start({ kind: "etcd", env: { ETCD_VERIFY: "all" } });
  try {
    const subject = await start({ kind });
    try {
      return await run(reference, subject);
    } finally {
      await subject.stop();
    }
  } finally {
    await reference.stop();
  }
}

function history(
  seed: number,
  opCount: number,
  variants: VariantCounts,
  defect?: string,
  kind = subjectKind,
) {
  return onTwoMembers(kind, (reference, subject) =>
    runHistory({
      seed,
      ops: opCount,
      referenceEndpoint: reference.endpoint,
      subjectEndpoint: subject.endpoint,
      variants,
      ...(defect === undefined ? {} : { defect }),
    }),
  );
}

/** A member that does not start, or a stop that fails, is a failure of this seed alone. */
function notRun(error: Error): HistoryDifference {
  return { opIndex: 0, what: error.message, context: [] };
}

function report(seed: number, difference: HistoryDifference): void {
  console.log(`  seed ${seed}, operation ${difference.opIndex}: ${difference.what}`);
  for (const line of difference.context) console.log(`    ${line}`);
  const repeat = `--only histories --seed ${seed} --seeds 1 --ops ${difference.opIndex + 1}`;
  console.log(`  repeat with: npm run test:etcd -- ${repeat}`);
}

async function histories(): Promise<void> {
  const variants = new VariantCounts();
  for (let seed = firstSeed; seed < firstSeed + seedCount; seed++) {
    const startedAt = performance.now();
    const difference = await history(seed, ops, variants, args.defect).catch(notRun);
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
    result(difference === undefined, `history of seed ${seed}, ${ops} operations, ${seconds} s`);
    if (difference !== undefined) report(seed, difference);
  }
  variants.print();
  if (ops * seedCount < opsThatMustReachAll) return;
  const zeros = variants.zeros();
  result(
    zeros.length === 0,
    `every variant was seen${zeros.length === 0 ? "" : `, but not: ${zeros.join("; ")}`}`,
  );
}

/** Damages the answers of an etcd compared with etcd: only the damage can make the difference. */
async function defects(): Promise<void> {
  for (const defect of defectNames) {
    const difference = await history(firstSeed, defectOps, new VariantCounts(), defect, "etcd");
    const caught = difference === undefined ? "not caught" : `caught at operation ${difference.opIndex}`;
    result(difference !== undefined, `planted defect ${defect}: ${caught}`);
    if (difference !== undefined) console.log(`       ${difference.what}`);
  }
}

printMask();
for (const part of parts) {
  if (args.only !== undefined && args.only !== part) continue;
  console.log(`# ${part}`);
  if (part === "histories") await histories();
  if (part === "defects") await defects();
  if (part === "cases") await runCases(subjectKind, result);
  if (part === "etcdctl") await runEtcdctl(subjectKind, result);
  if (part === "gateway") await runGateway(subjectKind, firstSeed, result);
  if (part === "clusters") await runClusters(subjectKind, result, args.group);
}
console.log(`${counts.passed} passed, ${counts.failed} failed`);
process.exit(counts.failed === 0 && counts.passed > 0 ? 0 : 1);
