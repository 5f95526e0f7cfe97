// A cluster for one test: its processes with a client each, what is asked of it through etcdctl, and what has to
// hold of every cluster.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import type { TestContext } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { isDeepStrictEqual, promisify } from "node:util";
import { must } from "../../../node/lib/assert.ts";
import { TestClient } from "../../conformance/client.ts";
import type { Message } from "../../conformance/messages.ts";
import { Cluster, type ClusterMember, type ClusterOptions, type Host } from "../../tools/cluster.ts";
import type { Member, MemberKind } from "../../tools/member.ts";
import { toolPath } from "../../tools/toolchain.ts";
import { eventually, hashKv, revisionOf, succeed } from "./kv.ts";

const leaderTimeoutMs = 60_000;
const pollMs = 20;
const healthyTimeoutMs = 60_000;
const healthyRetryMs = 500;
const commandTimeoutMs = 60_000;

/** One member's place in a cluster. */
export class Place {
  readonly #cluster: Cluster;
  readonly #seat: ClusterMember;
  #client: TestClient | undefined;

  constructor(cluster: Cluster, seat: ClusterMember) {
    this.#cluster = cluster;
    this.#seat = seat;
  }

  get name(): string {
    return this.#seat.name;
  }

  get kind(): MemberKind {
    return this.#seat.kind;
  }

  get peerUrl(): string {
    return this.#seat.peerUrl;
  }

  get dataDir(): string {
    return this.#seat.dataDir;
  }

  get endpoint(): string {
    return `${this.#seat.host.address}:${this.#seat.ports.client}`;
  }

  get host(): Host {
    return this.#seat.host;
  }

  get isRunning(): boolean {
    return this.#seat.process !== undefined;
  }

  get process(): Member {
    return must(this.#seat.process, "the member runs", { name: this.name });
  }

  /** A client of this member alone. */
  get client(): TestClient {
    this.#client ??= new TestClient(this.endpoint);
    return this.#client;
  }

  /** Starts it on whatever its data directory holds, as another kind if one is given. */
  async start(
    state: "new" | "existing" = "new",
    { kind = this.kind, flags = [] }: { readonly kind?: MemberKind; readonly flags?: readonly string[] } = {},
  ): Promise<void> {
    this.#seat.kind = kind;
    await this.#cluster.run(this.#seat, state, flags);
  }

  /** SIGKILL. */
  async kill(): Promise<void> {
    this.closeClient();
    await this.#cluster.kill(this.#seat);
  }

  /** SIGTERM. */
  async stop(): Promise<void> {
    this.closeClient();
    await this.#cluster.end(this.#seat);
  }

  /** Waits for a process that ends of itself; resolves to its exit code and what it printed. */
  async ended(): Promise<{ readonly code: number | null; readonly log: string }> {
    const code = await this.process.exited;
    const log = await this.log();
    await this.kill();
    return { code, log };
  }

  /** The member was removed, and takes no part in what others are started with. */
  forget(): void {
    this.#cluster.forget(this.#seat);
  }

  /** What the running process printed so far. */
  log(): Promise<string> {
    return readFile(this.process.logFile, "utf8");
  }

  closeClient(): void {
    this.#client?.close();
    this.#client = undefined;
  }
}

export class TestCluster {
  readonly places: Place[];
  readonly #cluster: Cluster;

  /** Ends with the test. */
  static async start(t: TestContext, options: ClusterOptions): Promise<TestCluster> {
    const cluster = await TestCluster.open(options);
    t.after(() => cluster.stop());
    return cluster;
  }

  /** Whoever opens it stops it. */
  static async open(options: ClusterOptions): Promise<TestCluster> {
    return new TestCluster(await Cluster.start(options));
  }

  private constructor(cluster: Cluster) {
    this.#cluster = cluster;
    this.places = cluster.members.map((seat) => new Place(cluster, seat));
  }

  async stop(): Promise<void> {
    for (const place of this.places) place.closeClient();
    await this.#cluster.stop();
  }

  place(i: number): Place {
    return must(this.places[i], "the cluster has the member", { i });
  }

  get running(): readonly Place[] {
    return this.places.filter(({ isRunning }) => isRunning);
  }

  /** Adds a member through the API, asked of `via`, and starts it. */
  async join(
    kind: MemberKind,
    via: Place,
    options: { readonly isLearner?: boolean; readonly host?: Host } = {},
  ): Promise<Place> {
    const place = new Place(this.#cluster, await this.#cluster.reserve(kind, options.host));
    const learner = options.isLearner === true ? ["--learner"] : [];
    await this.#onceHealthy(via, ["member", "add", place.name, "--peer-urls", place.peerUrl, ...learner]);
    await place.start("existing");
    this.places.push(place);
    return place;
  }

  /** Takes a member out through the API. Its process may still run. */
  async remove(place: Place, via: Place): Promise<void> {
    await this.#onceHealthy(via, ["member", "remove", await this.hexIdOf(place, via)]);
    this.places.splice(this.places.indexOf(place), 1);
    place.forget();
  }

  /** Makes a learner a voter, as soon as it is in sync. */
  async promote(learner: Place, via: Place): Promise<void> {
    const id = await this.hexIdOf(learner, via);
    await eventually(
      `${learner.name} is promoted`,
      async () => {
        try {
          await this.etcdctl(via, ["member", "promote", id]);
        } catch {
          // Not in sync with the leader yet, or an earlier attempt went through: the list tells.
        }
        return (await membersOf(via.client)).some((member) => member.hexId === id && !member.isLearner);
      },
      healthyTimeoutMs,
    );
  }

  async moveLeader(to: Place): Promise<void> {
    const from = await this.leader();
    if (from !== to) await this.etcdctl(from, ["move-leader", await this.hexIdOf(to, from)]);
  }

  async hexIdOf(place: Place, via: Place): Promise<string> {
    const members = await membersOf(via.client);
    const found = members.find(({ peerUrls }) => peerUrls.includes(place.peerUrl));
    return must(found, "the member is in the list", { peerUrl: place.peerUrl }).hexId;
  }

  /** The member that leads, once every running member agrees on it. */
  async leader(): Promise<Place> {
    const end = performance.now() + leaderTimeoutMs;
    while (true) {
      const found = await this.#agreedLeader();
      if (found !== undefined) return found;
      if (performance.now() > end) throw new Error(`no leader that all agree on in ${leaderTimeoutMs} ms`);
      await delay(pollMs);
    }
  }

  async followers(): Promise<readonly Place[]> {
    const leader = await this.leader();
    return this.running.filter((place) => place !== leader);
  }

  /** Runs etcdctl against one member; resolves to what it prints. */
  async etcdctl(place: Place, args: readonly string[]): Promise<string> {
    const flags = [`--endpoints=${place.endpoint}`, "--command-timeout=30s", ...args];
    const { stdout } = await promisify(execFile)(await toolPath("etcdctl"), flags, {
      timeout: commandTimeoutMs,
    });
    return stdout;
  }

  /** Members take no change of the membership before they have been connected for some seconds. */
  async #onceHealthy(via: Place, args: readonly string[]): Promise<void> {
    const end = performance.now() + healthyTimeoutMs;
    while (true) {
      try {
        await this.etcdctl(via, args);
        return;
      } catch (error) {
        if (performance.now() > end || !String(error).includes("unhealthy cluster")) throw error;
        await delay(healthyRetryMs);
      }
    }
  }

  async #agreedLeader(): Promise<Place | undefined> {
    const answers = await Promise.all(
      this.running.map(async (place) => ({ place, outcome: await place.client.call("Status", {}) })),
    );
    let leader: Place | undefined;
    const leaders = new Set<unknown>();
    for (const { place, outcome } of answers) {
      if (!outcome.ok) return undefined;
      const id = outcome.response["leader"];
      leaders.add(id);
      if (id === (outcome.response["header"] as Message)["member_id"]) leader = place;
    }
    return leaders.size === 1 ? leader : undefined;
  }
}

export interface ListedMember {
  readonly hexId: string;
  readonly name: string;
  readonly peerUrls: readonly string[];
  readonly clientUrls: readonly string[];
  readonly isLearner: boolean;
}

/** What MemberList answers, linearizable. */
export async function membersOf(client: TestClient): Promise<readonly ListedMember[]> {
  const response = await succeed(client, "MemberList", { linearizable: true });
  return ((response["members"] ?? []) as readonly Message[]).map((member) => ({
    hexId: (member["ID"] as bigint).toString(16),
    name: (member["name"] ?? "") as string,
    peerUrls: (member["peerURLs"] ?? []) as readonly string[],
    clientUrls: (member["clientURLs"] ?? []) as readonly string[],
    isLearner: member["isLearner"] === true,
  }));
}

/**
 * Members of a cluster at rest have applied the same entries, hold the same bytes and list the same members. An entry
 * that arrives meanwhile (one whose client gave up long ago) makes it ask again.
 */
export async function expectAgreement(cluster: TestCluster): Promise<void> {
  const { running } = cluster;
  assert.ok(running.length > 0, "a member runs");
  let contents: readonly unknown[] = [];
  await eventually(
    "all members have applied the same entries",
    async () => {
      const before = await Promise.all(running.map(appliedIndex));
      if (new Set(before).size > 1) return false;
      contents = await Promise.all(running.map(contentsOf));
      return isDeepStrictEqual(await Promise.all(running.map(appliedIndex)), before);
    },
    60_000,
  );
  for (const [i, place] of running.entries())
    assert.deepEqual(contents[i], contents[0], `${place.name} agrees`);
}

/** No real member found anything wrong in what ours told it. */
export async function expectNoPanic({ running }: TestCluster): Promise<void> {
  for (const place of running) assert.doesNotMatch(await place.log(), /"level":"(panic|fatal|dpanic)"/);
}

async function appliedIndex({ client }: Place): Promise<number> {
  return Number((await succeed(client, "Status", {}))["raftAppliedIndex"]);
}

async function contentsOf({ client }: Place): Promise<unknown> {
  return {
    revision: revisionOf(await succeed(client, "Range", { key: "none", serializable: true })),
    hashKv: await hashKv(client, 0),
    hash: (await succeed(client, "Hash", {}))["hash"],
    members: await membersOf(client),
  };
}
