// What a cluster of three answers its clients: every case runs on a cluster of real etcd members and on ours, and the
// transcripts must be equal, line by line. Ids, ports and counters that differ by nature get names.

import { Cluster, type ClusterMember } from "../../tools/cluster.ts";
import type { MemberKind } from "../../tools/member.ts";
import { type Outcome, TestClient } from "../client.ts";
import { type InputMessage, type Message, show } from "../messages.ts";
import { learnerCases } from "./learners.ts";
import { leaseCases } from "./leases.ts";
import { membershipCases } from "./membership.ts";
import { quorumCases } from "./quorum.ts";
import { versionCases } from "./versions.ts";

export interface ClusterCase {
  readonly name: string;
  /** Cases of one group share a cluster, in this order. */
  readonly run: (run: ClusterRun) => Promise<void>;
}

export interface ClusterGroup {
  readonly name: string;
  readonly flags?: readonly string[];
  readonly cases: readonly ClusterCase[];
}

const groups: readonly ClusterGroup[] = [
  membershipCases,
  learnerCases,
  leaseCases,
  versionCases,
  quorumCases,
];

const memberCount = 3;
const pollMs = 50;
const patienceMs = 40_000;

export class ClusterRun {
  readonly cluster: Cluster;
  readonly lines: string[] = [];
  /** Ids of members to their names. */
  readonly #names = new Map<bigint, string>();
  readonly #clients = new Map<string, TestClient>();

  constructor(cluster: Cluster) {
    this.cluster = cluster;
  }

  client(member: ClusterMember): TestClient {
    const known = this.#clients.get(member.name);
    if (known !== undefined) return known;
    const client = new TestClient(`127.0.0.1:${member.ports.client}`);
    this.#clients.set(member.name, client);
    return client;
  }

  /** Calls one member and records how it went. */
  async call(
    member: ClusterMember,
    method: string,
    request: InputMessage,
    metadata: Readonly<Record<string, string>> = {},
  ): Promise<Outcome> {
    const outcome = await this.client(member).call(method, request, metadata);
    if (method === "MemberAdd" && outcome.ok) this.#nameAdded(outcome.response);
    this.#recordCall(method, request, outcome);
    return outcome;
  }

  /** Calls without a line in the transcript, and demands an answer. */
  async ask(member: ClusterMember, method: string, request: InputMessage): Promise<Message> {
    const outcome = await this.client(member).call(method, request);
    if (!outcome.ok) throw new Error(`${method} ${show(request)}: ${describe(outcome)}`);
    return outcome.response;
  }

  record(line: string): void {
    this.lines.push(this.#named(line));
  }

  /** Repeats a call until it is answered so that `enough` holds, and records that last answer. */
  async until(
    member: ClusterMember,
    method: string,
    request: InputMessage,
    enough: (outcome: Outcome) => boolean,
  ): Promise<Outcome> {
    const end = performance.now() + patienceMs;
    while (true) {
      const outcome = await this.client(member).call(method, request);
      if (enough(outcome) || performance.now() > end) {
        this.#recordCall(method, request, outcome);
        return outcome;
      }
      await pause(pollMs);
    }
  }

  /** Waits for something that has no line of its own. */
  async eventually(what: string, holds: () => Promise<boolean> | boolean): Promise<void> {
    const end = performance.now() + patienceMs;
    while (!(await holds())) {
      if (performance.now() > end) throw new Error(`${what}: not within ${patienceMs} ms`);
      await pause(pollMs);
    }
  }

  async idOf(member: ClusterMember): Promise<bigint> {
    for (const [id, name] of this.#names) if (name === member.name) return id;
    const { header } = await this.ask(member, "Status", {});
    const id = (header as Message)["member_id"] as bigint;
    this.#names.set(id, member.name);
    return id;
  }

  /** Gives a member that does not run yet its name. */
  name(id: bigint, name: string): void {
    this.#names.set(id, name);
  }

  /** The leader, and the others in their order. */
  async roles(): Promise<{ readonly leader: ClusterMember; readonly followers: readonly ClusterMember[] }> {
    const running = this.cluster.members.filter(({ process }) => process !== undefined);
    const ids = new Map<bigint, ClusterMember>();
    for (const member of running) ids.set(await this.idOf(member), member);
    let leader: ClusterMember | undefined;
    await this.eventually("a leader that all agree on", async () => {
      const seen = new Set<bigint>();
      for (const member of running) {
        const status = await this.ask(member, "Status", {});
        seen.add((status["leader"] as bigint | undefined) ?? 0n);
      }
      const [only] = seen;
      leader = seen.size === 1 && only !== undefined ? ids.get(only) : undefined;
      return leader !== undefined;
    });
    const known = leader as ClusterMember;
    return { leader: known, followers: running.filter((member) => member !== known) };
  }

  /** etcd counts a connection that has stood for five seconds: before that most changes are refused. */
  async settle(): Promise<void> {
    await pause(6_000);
  }

  close(): void {
    for (const client of this.#clients.values()) client.close();
  }

  #nameAdded({ member }: Message): void {
    this.#names.set((member as Message)["ID"] as bigint, `added ${this.#names.size}`);
  }

  #recordCall(method: string, request: InputMessage, outcome: Outcome): void {
    this.record(`${method} ${show(request)}: ${describe(this.#sorted(outcome))}`);
  }

  /** Members come sorted by their ids, which are made from ports: here they are sorted by their names. */
  #sorted(outcome: Outcome): Outcome {
    if (!outcome.ok || outcome.response["members"] === undefined) return outcome;
    const members = [...(outcome.response["members"] as readonly Message[])];
    const nameOf = ({ ID }: Message): string => this.#names.get(ID as bigint) ?? "";
    members.sort((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1));
    return { ok: true, response: { ...outcome.response, members } };
  }

  #named(line: string): string {
    let text = line;
    for (const [id, name] of this.#names) text = text.replaceAll(String(id), `<${name}>`);
    for (const { name, ports } of this.cluster.members) {
      text = text.replaceAll(String(ports.peer), `<peer ${name}>`);
      text = text.replaceAll(String(ports.client), `<client ${name}>`);
    }
    return text
      .replace(/cluster_id: \d+/g, "cluster_id: <cluster>")
      .replace(/(raft_term|raftTerm): \d+/g, "$1: <term>")
      .replace(/(raftIndex|raftAppliedIndex|dbSize|dbSizeInUse): \d+/g, "$1: <n>");
  }
}

export function describe(outcome: Outcome): string {
  return outcome.ok ? show(outcome.response) : `error ${outcome.code} "${outcome.text}"`;
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

interface Transcript {
  readonly name: string;
  readonly lines: readonly string[];
  readonly error: string | undefined;
}

async function transcripts(group: ClusterGroup, kind: MemberKind): Promise<readonly Transcript[]> {
  const kinds = Array.from({ length: memberCount }, () => kind);
  const cluster = await Cluster.start({ kinds, flags: group.flags ?? [] });
  const all: Transcript[] = [];
  const run = new ClusterRun(cluster);
  try {
    for (const member of cluster.members) await run.idOf(member);
    await leadByFirst(run);
    for (const one of group.cases) {
      run.lines.length = 0;
      const error = await one.run(run).then(
        () => undefined,
        (thrown: unknown) => String(thrown),
      );
      all.push({ name: one.name, lines: [...run.lines], error });
    }
  } finally {
    run.close();
    await cluster.stop();
  }
  return all;
}

/** So that the same member leads in both clusters. */
async function leadByFirst(run: ClusterRun): Promise<void> {
  const first = run.cluster.member(0);
  const targetID = await run.idOf(first);
  await run.eventually("the first member leads", async () => {
    const { leader } = await run.roles();
    if (leader === first) return true;
    await run.client(leader).call("MoveLeader", { targetID });
    return false;
  });
}

/** Runs all groups whose name contains `part`. */
export async function runClusters(
  kind: MemberKind,
  result: (ok: boolean, name: string) => void,
  part = "",
): Promise<void> {
  for (const group of groups) {
    if (!group.name.includes(part)) continue;
    // Most of the time is spent waiting for timeouts, so both clusters run at once.
    const [reference, subject] = await Promise.all([transcripts(group, "etcd"), transcripts(group, kind)]);
    for (const [i, wanted] of reference.entries()) {
      const got = subject[i];
      const difference =
        wanted.error !== undefined
          ? `etcd: ${wanted.error}`
          : got?.error !== undefined
            ? `${kind}: ${got.error}`
            : firstDifference(wanted.lines, got?.lines ?? []);
      result(
        difference === undefined,
        `cluster, ${group.name}: ${wanted.name}, ${wanted.lines.length} lines`,
      );
      if (difference !== undefined) console.log(`       ${difference}`);
    }
  }
}

function firstDifference(wanted: readonly string[], got: readonly string[]): string | undefined {
  for (let i = 0; i < Math.max(wanted.length, got.length); i++) {
    if (wanted[i] !== got[i]) return `line ${i + 1}\n         etcd: ${wanted[i]}\n         ours: ${got[i]}`;
  }
  return wanted.length === 0 ? "an empty transcript shows nothing" : undefined;
}
