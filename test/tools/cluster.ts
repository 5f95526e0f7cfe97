// Starts and stops a cluster of real members, ours or etcd's or of both kinds, on loopback. A member keeps its place
// (name, ports, data directory) over kills and restarts, also when a member of the other kind takes it.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { must } from "../../node/lib/assert.ts";
import { freePorts, loopback, type Member, type MemberKind, start } from "./member.ts";

export interface ClusterOptions {
  /** One a member. */
  readonly kinds: readonly MemberKind[];
  readonly flags?: readonly string[];
  /** Real members check themselves at every step, unless they are measured. */
  readonly isVerified?: boolean;
  /** Where the members run, one a member; on loopback otherwise. */
  readonly hosts?: readonly Host[];
  /** Called before a member is first started, when its data directory is not there yet. */
  readonly onReserved?: (member: ClusterMember) => Promise<void>;
}

export interface Host {
  readonly address: string;
  /** A command that becomes the member's process. */
  readonly prefix: readonly string[];
}

const thisHost: Host = { address: loopback, prefix: [] };

type Ports = Member["ports"];

export interface ClusterMember {
  readonly name: string;
  /** The kind of process that is started next. */
  kind: MemberKind;
  readonly ports: Ports;
  readonly dataDir: string;
  readonly host: Host;
  readonly peerUrl: string;
  /** Undefined while it does not run. */
  process: Member | undefined;
}

const verified = { ETCD_VERIFY: "all" };
/** An election among members on a busy machine takes a while. */
const readyTimeoutMs = 90_000;

export class Cluster {
  /** In the order in which they were given, then those that joined. */
  readonly members: ClusterMember[] = [];
  readonly #options: ClusterOptions;
  readonly #scratch: string;
  /** Every process there was: their folders go away with the cluster. */
  readonly #processes: Member[] = [];
  /** What every member gets as its initial cluster. */
  #initialCluster = "";
  /** No name is used twice. */
  #named = 0;

  private constructor(options: ClusterOptions, scratch: string) {
    this.#options = options;
    this.#scratch = scratch;
  }

  /** Resolves when every member serves clients. */
  static async start(options: ClusterOptions): Promise<Cluster> {
    const scratch = await mkdtemp(join(tmpdir(), "cluster-test-"));
    const cluster = new Cluster(options, scratch);
    try {
      for (const [i, kind] of options.kinds.entries()) await cluster.reserve(kind, options.hosts?.[i]);
      cluster.#initialCluster = cluster.#initialClusterText();
      const started = await Promise.allSettled(cluster.members.map((member) => cluster.run(member, "new")));
      const failed = started.find((one) => one.status === "rejected");
      if (failed !== undefined) throw failed.reason;
    } catch (error) {
      await cluster.stop();
      throw error;
    }
    return cluster;
  }

  member(i: number): ClusterMember {
    return must(this.members[i], "the cluster has the member", { i });
  }

  /** A name and ports for a further member, which runs once it was added and `run` is called. */
  async reserve(kind: MemberKind, host: Host = thisHost): Promise<ClusterMember> {
    const name = `m${this.#named++}`;
    const ports = await this.#freePorts();
    const member: ClusterMember = {
      name,
      kind,
      ports,
      dataDir: join(this.#scratch, name),
      host,
      peerUrl: `http://${host.address}:${ports.peer}`,
      process: undefined,
    };
    this.members.push(member);
    await this.#options.onReserved?.(member);
    return member;
  }

  /** Starts a member, or starts it again. `flags` come after those of the cluster. */
  async run(
    member: ClusterMember,
    state: "new" | "existing",
    flags: readonly string[] = [],
  ): Promise<Member> {
    const initialCluster = state === "new" ? this.#initialCluster : this.#initialClusterText();
    const process = await start({
      kind: member.kind,
      ports: member.ports,
      dataDir: member.dataDir,
      readyTimeoutMs,
      host: member.host.address,
      prefix: member.host.prefix,
      env: member.kind === "etcd" && this.#options.isVerified !== false ? verified : {},
      flags: [
        ...["--name", member.name, "--initial-cluster", initialCluster],
        ...["--initial-cluster-state", state],
        ...(this.#options.flags ?? []),
        ...flags,
      ],
    });
    member.process = process;
    this.#processes.push(process);
    return process;
  }

  /** SIGKILL; the data stays. */
  async kill(member: ClusterMember): Promise<void> {
    const { process } = member;
    member.process = undefined;
    await process?.kill();
  }

  /** SIGTERM; the data stays. */
  async end(member: ClusterMember): Promise<void> {
    const { process } = member;
    member.process = undefined;
    await process?.stop();
  }

  /** A member that was removed takes no part in what others are started with. */
  forget(member: ClusterMember): void {
    this.members.splice(this.members.indexOf(member), 1);
  }

  async stop(): Promise<void> {
    // A member that goes alone could wait for a quorum; those that are of no use any more are killed.
    await Promise.all(this.#processes.map((process) => process.kill()));
    await Promise.all(this.#processes.map((process) => process.stop()));
    await rm(this.#scratch, { recursive: true, force: true });
  }

  async #freePorts(): Promise<Ports> {
    const taken = new Set(this.members.flatMap(({ ports }) => [ports.client, ports.peer]));
    while (true) {
      const ports = await freePorts();
      if (!taken.has(ports.client) && !taken.has(ports.peer)) return ports;
    }
  }

  #initialClusterText(): string {
    return this.members.map(({ name, peerUrl }) => `${name}=${peerUrl}`).join(",");
  }
}
