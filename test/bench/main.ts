// Side by side with etcd: the same loads on both, in turn, on one file system and one machine.
//
//   npm run bench -- [--quick] [--rounds N] [--only NAME] [--kinds etcd,etcdlike]
//
// `--only` takes a part of a workload's name, or "large", "long", "defragment", "cluster", "failover" or "crash". Load generator and member share the
// processors, so figures compare members with each other and not with other machines.
import { execFileSync } from "node:child_process";
import { cpus, tmpdir } from "node:os";
import { parseArgs } from "node:util";
import { TestClient } from "../conformance/client.ts";
import { type Member, type MemberKind, start } from "../tools/member.ts";
import { secureListener } from "../tools/secure.ts";
import { measureCluster, measureFailover } from "./cluster.ts";
import { killUnderLoad } from "./crash.ts";
import { measureDefragmentation } from "./defragment.ts";
import { measureLarge } from "./large.ts";
import { quantile, timedDivisor, warmUpDivisor } from "./load.ts";
import { measureLongRange } from "./long-range.ts";
import { cpuSecondsOfEnded, usageOf } from "./process.ts";
import { Table } from "./table.ts";
import { revisionOf, type Workload, workloads } from "./workloads.ts";

const { values: args } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    rounds: { type: "string" },
    only: { type: "string", default: "" },
    kinds: { type: "string", default: "etcd,etcdlike" },
  },
});

const rounds = Number(args.rounds ?? (args.quick ? 1 : 3));
const kinds = args.kinds.split(",") as MemberKind[];
const quickDivisor = 10;
const largeKeys = args.quick ? 100_000 : 1_000_000;
const smallKeys = 1_000;
const defragmentBytes = (args.quick ? 1 / 8 : 1) * 1024 ** 3;
const longRangeBytes = (args.quick ? 20 : 200) * 1024 ** 2;
const failoverKills = args.quick ? 5 : 50;
const crashLoadMs = args.quick ? 1_000 : 3_000;
/** A million keys need more than the two GiB that are etcd's default while they are loaded. */
const quota = ["--quota-backend-bytes", String(8 * 1024 * 1024 * 1024)];

const table = new Table(kinds);
let failures = 0;

function fail(text: string): undefined {
  failures++;
  console.log(`FAIL ${text}`);
}

async function measure(member: Member, workload: Workload, secureUrl: string): Promise<void> {
  const calls = args.quick ? Math.ceil(workload.calls / quickDivisor) : workload.calls;
  const client = new TestClient(member.endpoint);
  try {
    await workload.prepare?.(client);
    await workload.run(member, Math.ceil(calls / warmUpDivisor), secureUrl);
    const revision = await revisionOf(client);
    const before = await usageOf(member);
    const clientSecondsBefore = await cpuSecondsOfEnded();
    const result = await workload.run(member, calls, secureUrl);
    const clientSeconds = (await cpuSecondsOfEnded()) - clientSecondsBefore;
    const after = await usageOf(member);
    const made = (await revisionOf(client)) - revision;
    const latencies = await workload.timed?.(member, Math.ceil(calls / timedDivisor), secureUrl);
    const { meanMs = Number.NaN, p50Ms = Number.NaN, p99Ms = Number.NaN } = latencies ?? result;
    const expected = workload.revisions?.(calls);
    if (expected !== undefined && made !== expected)
      fail(`${member.kind}, ${workload.name}: ${calls} calls made ${made} revisions, not ${expected}`);
    const add = (what: string, value: number) => {
      if (Number.isNaN(value)) fail(`${member.kind}, ${workload.name}: no figure for ${what}`);
      else table.add(workload.name, what, member.kind, value);
    };
    add("calls/s", result.callsPerSecond);
    add("mean ms", meanMs);
    add("p50 ms", p50Ms);
    add("p99 ms", p99Ms);
    add("CPU us/call", ((after.cpuSeconds - before.cpuSeconds) / result.calls) * 1e6);
    add("client CPU us/call", (clientSeconds / result.calls) * 1e6);
    add("fdatasyncs", after.fdatasyncs - before.fdatasyncs);
    add("revisions made", made);
  } catch (error) {
    fail(`${member.kind}, ${workload.name}: ${error instanceof Error ? error.message : String(error)}`);
  } finally {
    client.close();
  }
}

const chosen = workloads.filter((workload) => workload.name.includes(args.only));
const fileSystem = execFileSync("df", ["--output=source,fstype", tmpdir()], { encoding: "utf8" }).split(
  "\n",
)[1];
console.log(`${cpus().length} processors, data on ${fileSystem?.trim()}, ${rounds} rounds`);

for (let round = 1; round <= rounds && chosen.length > 0; round++)
  for (const kind of kinds) {
    console.log(`round ${round}, ${kind}`);
    const secure = await secureListener();
    const member = await start({ kind, ports: secure.ports, flags: [...quota, ...secure.flags] });
    for (const workload of chosen) await measure(member, workload, secure.url);
    await member.stop();
    await secure.remove();
  }

if ("large".includes(args.only))
  for (const kind of kinds)
    for (const keys of [smallKeys, largeKeys]) {
      console.log(`${keys} keys, ${kind}`);
      const name = `${keys.toLocaleString("en")} keys of 256 bytes`;
      const result = await measureLarge(kind, keys, rounds).catch((error: Error) =>
        fail(`${kind}, ${name}: ${error.message}`),
      );
      if (result === undefined) continue;
      const { loadedMib, startMs, startAfterKillMs, residentMib } = result;
      table.add(name, "resident MiB, loaded", kind, loadedMib);
      for (const value of startMs) table.add(name, "start ms", kind, value);
      for (const value of startAfterKillMs) table.add(name, "start ms after kill -9", kind, value);
      for (const value of residentMib) table.add(name, "resident MiB", kind, value);
    }

if ("long".includes(args.only))
  for (let round = 1; round <= rounds; round++)
    for (const kind of kinds) {
      console.log(`round ${round}, a range of ${longRangeBytes / 1024 ** 2} MiB, ${kind}`);
      const result = await measureLongRange(kind, longRangeBytes).catch((error: Error) =>
        fail(`long range of ${kind}: ${error.message}`),
      );
      if (result === undefined) continue;
      const name = `range of ${longRangeBytes / 1024 ** 2} MiB under puts`;
      table.add(name, "took ms", kind, result.tookMs);
      table.add(name, "memory / answer", kind, result.memoryOverAnswer);
      table.add(name, "no put answered, ms", kind, result.stallMs);
      table.add(name, "put p99 ms", kind, result.putP99Ms);
      table.add(name, "put p99 ms, no range", kind, result.quietPutP99Ms);
      table.add(name, "puts refused", kind, result.refused);
    }

if ("defragment".includes(args.only))
  for (const kind of kinds) {
    console.log(`defragmentation of ${defragmentBytes / 1024 ** 2} MiB, ${kind}`);
    const results = await measureDefragmentation(kind, defragmentBytes).catch((error: Error) =>
      fail(`defragmentation of ${kind}: ${error.message}`),
    );
    if (results === undefined) continue;
    const size = `${defragmentBytes / 1024 ** 2} MiB`;
    table.add(`Compact of ${size} of which nine tenths were deleted`, "took ms", kind, results.compactMs);
    for (const [what, result] of [
      ["full", results.full],
      ["nine tenths deleted", results.trimmed],
    ] as const) {
      const name = `Defragment of ${size} under puts, ${what}`;
      table.add(name, "took ms", kind, result.tookMs);
      table.add(name, "no put answered, ms", kind, result.stallMs);
      table.add(name, "put p99 ms", kind, result.putP99Ms);
      table.add(name, "puts refused", kind, result.refused);
      table.add(name, "space needed / size", kind, result.spaceNeeded);
      table.add(name, "size / in use after", kind, result.sizeOverInUse);
    }
  }

if ("cluster".includes(args.only))
  for (let round = 1; round <= rounds; round++)
    for (const kind of kinds) {
      console.log(`round ${round}, 3 members of ${kind}`);
      const figures = await measureCluster(kind, args.quick ? quickDivisor : 1).catch((error: Error) =>
        fail(`3 members of ${kind}: ${error.message}`),
      );
      for (const { workload, measure, value } of figures ?? []) table.add(workload, measure, kind, value);
    }

if ("failover".includes(args.only))
  for (const kind of kinds) {
    console.log(`${failoverKills} kills of the leader, 3 members of ${kind}`);
    const tookMs = await measureFailover(kind, failoverKills).catch((error: Error) =>
      fail(`failover of ${kind}: ${error.message}`),
    );
    if (tookMs === undefined) continue;
    const sorted = [...tookMs].sort((a, b) => a - b);
    const name = `3 members, first write after kill -9 of the leader, ${failoverKills} kills`;
    table.add(name, "p50 ms", kind, quantile(sorted, 0.5));
    table.add(name, "p99 ms", kind, quantile(sorted, 0.99));
  }

table.print();

if ("crash".includes(args.only))
  for (const kind of kinds) {
    const { acknowledged, lost, acknowledgedRevision, revision, restartMs } = await killUnderLoad(
      kind,
      crashLoadMs,
    );
    const text = `${acknowledged} puts acknowledged, ${lost.length} lost, revision ${revision} >= ${acknowledgedRevision}`;
    console.log(`kill -9 under load, ${kind}: ${text}, back after ${restartMs.toFixed(0)} ms`);
    if (acknowledged === 0 || lost.length > 0 || revision < acknowledgedRevision)
      fail(`${kind} after kill -9: ${text}; first lost: ${lost.slice(0, 5).join(", ")}`);
  }
process.exit(failures === 0 ? 0 : 1);
