// What a scenario works on: a cluster of three real processes of ours in a network of its own, under traffic.
import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { must } from "../../node/lib/assert.ts";
import { SeededRandom } from "../../node/lib/random.ts";
import type { Message } from "../conformance/messages.ts";
import { type Place, TestCluster } from "../e2e/support/clusters.ts";
import { eventually, succeed } from "../e2e/support/kv.ts";
import { Link, Network } from "./network.ts";
import { Traffic } from "./traffic.ts";

const memberCount = 3;
const goesOnTimeoutMs = 60_000;
/** Shorter than etcd's, so that a scenario sees elections within its time; as long as its flag allows on a busy machine. */
const timing = ["--heartbeat-interval=50", "--election-timeout=500"];

export interface BedOptions {
  readonly seed: number;
  readonly flags: readonly string[];
  /** Each member's data in a file system of this size; on the machine's own otherwise. */
  readonly diskMib?: number | undefined;
  readonly valueBytes: number;
}

export class Bed {
  readonly cluster: TestCluster;
  readonly traffic: Traffic;
  readonly #network: Network;
  readonly #mounts: readonly string[];
  /** The ids of members, asked while all answer. */
  readonly #ids = new Map<Place, bigint>();

  static async open({ seed, flags, diskMib, valueBytes }: BedOptions): Promise<Bed> {
    const network = new Network();
    const mounts: string[] = [];
    try {
      for (let i = 0; i < memberCount; i++) await network.addLink();
      const cluster = await TestCluster.open({
        kinds: network.links.map(() => "etcdlike"),
        hosts: network.links,
        flags: [...timing, ...flags],
        async onReserved({ dataDir }) {
          if (diskMib === undefined) return;
          mkdirSync(dataDir, { recursive: true });
          execFileSync("mount", ["-t", "tmpfs", "-o", `size=${diskMib}m,mode=0700`, "tmpfs", dataDir]);
          mounts.push(dataDir);
        },
      });
      return new Bed(cluster, new Traffic(new SeededRandom(seed), valueBytes), network, mounts);
    } catch (error) {
      network.stop();
      throw error;
    }
  }

  private constructor(cluster: TestCluster, traffic: Traffic, network: Network, mounts: readonly string[]) {
    this.cluster = cluster;
    this.traffic = traffic;
    this.#network = network;
    this.#mounts = mounts;
  }

  async close(): Promise<void> {
    // A stopped process cannot end.
    for (const { process: member } of this.cluster.running) process.kill(member.pid, "SIGCONT");
    await this.traffic.stop();
    for (const mount of this.#mounts) execFileSync("umount", ["--lazy", mount]);
    await this.cluster.stop();
    this.#network.stop();
  }

  /** Gives each member's file system this size. */
  resizeDisks(mib: number): void {
    for (const mount of this.#mounts) execFileSync("mount", ["-o", `remount,size=${mib}m`, mount]);
  }

  linkOf(place: Place): Link {
    const { host } = place;
    if (!(host instanceof Link)) throw new Error(`${place.name} runs in no network of its own`);
    return host;
  }

  linksBeside(place: Place): readonly Link[] {
    return this.#network.links.filter((link) => link !== place.host);
  }

  /** The leader, and the others. */
  async roles(): Promise<{ readonly leader: Place; readonly one: Place; readonly two: Place }> {
    const leader = await this.cluster.leader();
    for (const place of this.cluster.running) {
      const { header } = await succeed(place.client, "Status", {});
      this.#ids.set(place, (header as Message)["member_id"] as bigint);
    }
    const [one, two] = this.cluster.running.filter((place) => place !== leader);
    return { leader, one: must(one, "three members run"), two: must(two, "three members run") };
  }

  async termOf({ client }: Place): Promise<number> {
    return Number((await succeed(client, "Status", {}))["raftTerm"]);
  }

  /** Resolves to the leader that a member knows, as soon as it is another than `old`. */
  async leaderBeside(old: Place, witness: Place): Promise<string> {
    const oldId = must(this.#ids.get(old), "the roles were asked for before the fault");
    let found = 0n;
    await eventually(
      `another leader than ${old.name}`,
      async () => {
        const outcome = await witness.client.call("Status", {});
        found = outcome.ok ? ((outcome.response["leader"] as bigint | undefined) ?? 0n) : 0n;
        return found !== 0n && found !== oldId;
      },
      goesOnTimeoutMs,
    );
    return found.toString(16);
  }

  /** Resolves when clients of this member noticed: from now on, some of what they ask is not done. */
  async refuses(place: Place): Promise<void> {
    const before = this.traffic.refusedBy(place);
    await eventually(
      `clients of ${place.name} are refused`,
      async () => this.traffic.refusedBy(place) > before,
      goesOnTimeoutMs,
    );
  }

  /** Resolves when so many further operations were acknowledged. */
  async goesOn(count = 100): Promise<void> {
    const wanted = this.traffic.acknowledgedCount + count;
    await eventually(
      `${count} further operations`,
      async () => this.traffic.acknowledgedCount >= wanted,
      goesOnTimeoutMs,
    );
  }
}
