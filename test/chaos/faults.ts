// The scenarios: what is done to a cluster under traffic. Each ends with the fault lifted and every member started,
// and returns what shows that the fault had an effect, or throws because it had none.
import {
  closeSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
  statSync,
  truncateSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Place } from "../e2e/support/clusters.ts";
import { eventually } from "../e2e/support/kv.ts";
import type { Bed } from "./bed.ts";

export interface Scenario {
  readonly name: string;
  readonly flags?: readonly string[];
  readonly diskMib?: number;
  readonly valueBytes?: number;
  readonly run: (bed: Bed) => Promise<string>;
}

const faultMs = 4_000;
const endTimeoutMs = 60_000;
const refusedSnapshot = "failed to send database snapshot";
/** Each waits longer than the one before. */
const attemptsMax = 10;
const smallLog = ["--snapshot-count=50", "--snapshot-catchup-entries=10", "--wal-segment-bytes=262144"];

export const scenarios: readonly Scenario[] = [
  {
    name: "kill the leader",
    run: async (bed) => {
      const { leader, one } = await bed.roles();
      await leader.kill();
      const next = await bed.leaderBeside(leader, one);
      await bed.goesOn();
      await leader.start();
      return `${next} leads`;
    },
  },
  {
    name: "kill a follower, time after time",
    run: async (bed) => {
      const { one } = await bed.roles();
      for (let kill = 0; kill < 3; kill++) {
        await one.kill();
        await bed.refuses(one);
        await bed.goesOn();
        await one.start();
      }
      return "its clients were refused 3 times";
    },
  },
  {
    name: "kill two of three",
    run: async (bed) => {
      const { leader, one } = await bed.roles();
      await Promise.all([leader.kill(), one.kill()]);
      const stopped = await nothingIsAcknowledged(bed);
      await Promise.all([leader.start(), one.start()]);
      return stopped;
    },
  },
  {
    name: "kill all",
    run: async (bed) => {
      await Promise.all(bed.cluster.places.map((place) => place.kill()));
      await Promise.all(bed.cluster.places.map((place) => bed.refuses(place)));
      const stopped = await nothingIsAcknowledged(bed);
      await Promise.all(bed.cluster.places.map((place) => place.start()));
      return `all clients were refused, ${stopped}`;
    },
  },
  {
    name: "end and start all, one after the other",
    run: async (bed) => {
      for (const place of bed.cluster.places) {
        await place.stop();
        await bed.refuses(place);
        await bed.goesOn(50);
        await place.start();
      }
      return "the clients of each were refused";
    },
  },
  {
    name: "pause the leader",
    run: async (bed) => {
      const { leader, one } = await bed.roles();
      signal(leader, "SIGSTOP");
      const next = await bed.leaderBeside(leader, one);
      await bed.goesOn();
      signal(leader, "SIGCONT");
      return `${next} leads`;
    },
  },
  {
    name: "pause a follower",
    run: async (bed) => {
      const { one } = await bed.roles();
      signal(one, "SIGSTOP");
      await bed.goesOn();
      const answer = await Promise.race([one.client.call("Status", {}), delay(1_000)]);
      signal(one, "SIGCONT");
      if (answer !== undefined) throw new Error("a paused member answered");
      return "it answered nothing";
    },
  },
  {
    name: "pause all",
    run: async (bed) => {
      for (const place of bed.cluster.places) signal(place, "SIGSTOP");
      const stopped = await nothingIsAcknowledged(bed);
      for (const place of bed.cluster.places) signal(place, "SIGCONT");
      return stopped;
    },
  },
  {
    name: "cut the leader off",
    run: async (bed) => {
      const { leader, one } = await bed.roles();
      bed.linkOf(leader).setUp(false);
      const next = await bed.leaderBeside(leader, one);
      await bed.goesOn();
      bed.linkOf(leader).setUp(true);
      return `${next} leads`;
    },
  },
  {
    name: "cut a follower off",
    run: async (bed) => {
      const { one } = await bed.roles();
      bed.linkOf(one).setUp(false);
      await delay(faultMs);
      const answer = await Promise.race([one.client.call("Status", {}), delay(500)]);
      bed.linkOf(one).setUp(true);
      if (answer !== undefined) throw new Error("a member that was cut off answered");
      return "it answered nothing";
    },
  },
  {
    name: "cut the leader's link, time after time",
    run: async (bed) => {
      const { leader, one } = await bed.roles();
      const before = await bed.termOf(one);
      for (let cut = 0; cut < 3; cut++) {
        bed.linkOf(leader).setUp(false);
        await delay(1_200);
        bed.linkOf(leader).setUp(true);
        await delay(300);
      }
      const after = await bed.termOf(one);
      if (after === before) throw new Error(`the term is still ${before}`);
      return `term ${before} to ${after}`;
    },
  },
  {
    name: "cut all off from each other",
    run: async (bed) => {
      for (const place of bed.cluster.places) dropAll(bed, place);
      const stopped = await nothingIsAcknowledged(bed);
      return `${stopped}, ${heal(bed)}`;
    },
  },
  {
    name: "R5: the leader and one follower do not hear each other, and both hear the other follower",
    run: async (bed) => {
      const { leader, one } = await bed.roles();
      bed.linkOf(leader).dropFrom(bed.linkOf(one));
      bed.linkOf(one).dropFrom(bed.linkOf(leader));
      return withoutElections(bed);
    },
  },
  {
    name: "R5: one follower does not hear the leader",
    run: async (bed) => {
      const { leader, one } = await bed.roles();
      bed.linkOf(one).dropFrom(bed.linkOf(leader));
      return withoutElections(bed);
    },
  },
  {
    name: "R5: the leader does not hear one follower",
    run: async (bed) => {
      const { leader, one } = await bed.roles();
      bed.linkOf(leader).dropFrom(bed.linkOf(one));
      return withoutElections(bed);
    },
  },
  {
    name: "R5: the followers do not hear each other",
    run: async (bed) => {
      const { one, two } = await bed.roles();
      bed.linkOf(one).dropFrom(bed.linkOf(two));
      bed.linkOf(two).dropFrom(bed.linkOf(one));
      return withoutElections(bed);
    },
  },
  {
    name: "R5: the leader hears nobody, and is heard",
    run: async (bed) => {
      const { leader, one } = await bed.roles();
      dropAll(bed, leader);
      const next = await bed.leaderBeside(leader, one);
      await bed.goesOn();
      return `${next} leads, ${heal(bed)}`;
    },
  },
  {
    name: "lose a tenth of all packets",
    run: async (bed) => {
      for (const place of bed.cluster.places) bed.linkOf(place).loseFrom(bed.linksBeside(place), 0.1);
      await delay(faultMs);
      return heal(bed);
    },
  },
  {
    name: "a follower misses more than the log keeps",
    flags: smallLog,
    run: async (bed) => {
      const { one } = await bed.roles();
      await one.kill();
      await bed.goesOn(600);
      await one.start();
      await printed(one, "applied snapshot");
      return "it was given a snapshot";
    },
  },
  {
    name: "the leader has no room for the snapshot that a follower needs",
    diskMib: 60,
    flags: smallLog,
    run: async (bed) => {
      const { leader, one, two } = await bed.roles();
      await one.kill();
      await bed.goesOn(600);
      await one.start();
      await printed(leader, refusedSnapshot);
      await delay(faultMs);
      const logs = await Promise.all([leader.log(), two.log()]);
      const attempts = logs.join("").split(refusedSnapshot).length - 1;
      if (attempts > attemptsMax) throw new Error(`${attempts} snapshots without room in ${faultMs} ms`);
      bed.resizeDisks(256);
      await printed(one, "applied snapshot");
      return `given a snapshot once there was room, after ${attempts} attempts`;
    },
  },
  {
    name: "fill a follower's disk",
    diskMib: 256,
    valueBytes: 2_000,
    flags: smallLog,
    run: async (bed) => fillDisk((await bed.roles()).one),
  },
  {
    name: "fill the leader's disk",
    diskMib: 256,
    valueBytes: 2_000,
    flags: smallLog,
    run: async (bed) => fillDisk((await bed.roles()).leader),
  },
  {
    name: "damage the log of a follower",
    run: async (bed) => {
      const { one } = await bed.roles();
      await one.kill();
      const folder = join(one.dataDir, "member", "wal");
      const file = join(
        folder,
        readdirSync(folder)
          .filter((name) => name.endsWith(".wal"))
          .sort()[0] ?? "",
      );
      flipByte(file, 2_000);
      return replaceRefused(bed, one, "WAL_DAMAGED");
    },
  },
  {
    name: "cut the store of a follower short",
    run: async (bed) => {
      const { one } = await bed.roles();
      await bed.goesOn();
      await one.kill();
      const member = join(one.dataDir, "member");
      const store = readdirSync(member).find((name) => name.startsWith("store-")) ?? "";
      const file = join(member, store, "data.mdb");
      truncateSync(file, Math.floor(statSync(file).size / 2));
      return replaceRefused(bed, one, "STORE_DAMAGED");
    },
  },
  {
    name: "wipe the disk of a follower",
    run: async (bed) => {
      const { one } = await bed.roles();
      await one.kill();
      rmSync(one.dataDir, { recursive: true });
      return replaceRefused(bed, one, "DATA_LOST");
    },
  },
  {
    name: "move the leader, time after time",
    run: async (bed) => {
      const before = await bed.termOf(bed.cluster.place(0));
      for (let move = 0; move < 2; move++)
        for (const place of bed.cluster.places) await bed.cluster.moveLeader(place);
      return `term ${before} to ${await bed.termOf(bed.cluster.place(0))}`;
    },
  },
  {
    name: "replace the leader, learner first",
    run: async (bed) => {
      const { leader, one } = await bed.roles();
      const { host } = leader;
      const next = await bed.cluster.join("etcdlike", one, { isLearner: true, host });
      await bed.cluster.promote(next, one);
      bed.traffic.addMember(next);
      await bed.cluster.remove(leader, one);
      const { log } = await leader.ended();
      if (!log.includes('"reason":"REMOVED"')) throw new Error(`the removed leader ended otherwise: ${log}`);
      return "it ended as REMOVED";
    },
  },
];

function signal({ process: member }: Place, name: NodeJS.Signals): void {
  process.kill(member.pid, name);
}

function dropAll(bed: Bed, place: Place): void {
  for (const other of bed.cluster.places) if (other !== place) bed.linkOf(place).dropFrom(bed.linkOf(other));
}

function heal(bed: Bed): string {
  let dropped = 0;
  for (const place of bed.cluster.places) dropped += bed.linkOf(place).heal();
  if (dropped === 0) throw new Error("no packet was dropped");
  return `${dropped} packets dropped`;
}

async function nothingIsAcknowledged(bed: Bed): Promise<string> {
  // What was under way may still be answered.
  await delay(1_500);
  const before = bed.traffic.acknowledgedCount;
  await delay(faultMs - 1_500);
  const { acknowledgedCount } = bed.traffic;
  if (acknowledgedCount > before)
    throw new Error(`${acknowledgedCount - before} operations without a quorum`);
  return "nothing was acknowledged";
}

/** A leader that a quorum hears stays: nobody who misses it may disturb the others, and traffic goes on. */
async function withoutElections(bed: Bed): Promise<string> {
  const before = bed.traffic.acknowledgedCount;
  const witness = bed.cluster.place(0);
  const term = await bed.termOf(witness);
  await delay(faultMs);
  const rise = (await bed.termOf(witness)) - term;
  const dropped = heal(bed);
  if (rise > 2) throw new Error(`${rise} terms in ${faultMs} ms`);
  if (bed.traffic.acknowledgedCount === before) throw new Error("nothing was acknowledged any more");
  return `${dropped}, ${rise} new terms`;
}

async function fillDisk(place: Place): Promise<string> {
  const filler = join(place.dataDir, "filler");
  const file = openSync(filler, "w");
  const block = new Uint8Array(64 * 1024);
  let bytes = 0;
  try {
    while (true) bytes += writeSync(file, block);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
  } finally {
    closeSync(file);
  }
  const timer = setTimeout(() => signal(place, "SIGKILL"), endTimeoutMs);
  const { log } = await place.ended();
  clearTimeout(timer);
  rmSync(filler);
  if (!log.includes('"reason":"DISK_FULL"'))
    throw new Error(`a member whose disk is full ended otherwise: ${log.slice(-2_000)}`);
  await place.start();
  return `${bytes} bytes filled the disk, it ended as DISK_FULL`;
}

function flipByte(path: string, position: number): void {
  const file = openSync(path, "r+");
  const byte = new Uint8Array(1);
  readSync(file, byte, 0, 1, position);
  writeSync(file, Uint8Array.of((byte[0] ?? 0) ^ 0xff), 0, 1, position);
  closeSync(file);
}

/** The member must not start, and says why; a new one takes its place. */
async function replaceRefused(bed: Bed, place: Place, reason: string): Promise<string> {
  const refusal = await place.start().then(
    () => "it started",
    (error: Error) => error.message,
  );
  if (!refusal.includes(`"reason":"${reason}"`)) throw new Error(`not refused as ${reason}: ${refusal}`);
  const via = await bed.cluster.leader();
  const { host } = place;
  await bed.cluster.remove(place, via);
  const next = await bed.cluster.join("etcdlike", via, { host });
  bed.traffic.addMember(next);
  return `refused as ${reason}`;
}

async function printed(place: Place, text: string): Promise<void> {
  await eventually(`${place.name} printed "${text}"`, async () => (await place.log()).includes(text));
}
