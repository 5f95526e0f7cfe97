// A network of its own for a few members: a namespace each, joined by a bridge that stands where this process is.
// Everything vanishes with the process that main.ts made for it. Packets that a fault drops are counted, which
// proves that it did something.
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { must } from "../../node/lib/assert.ts";
import type { Host } from "../tools/cluster.ts";

const bridge = "br0";
const prefix = "10.111.0";

/** The command behind it gets SIGKILL when the process that started it is gone, however that ended. */
export const diesWithParent: readonly string[] = ["setpriv", "--pdeathsig", "KILL"];

/** One member's end. */
export class Link implements Host {
  readonly address: string;
  readonly prefix: readonly string[];
  readonly #outside: string;

  constructor(address: string, holder: number, outside: string) {
    this.address = address;
    this.prefix = [...diesWithParent, "nsenter", `--net=/proc/${holder}/ns/net`];
    this.#outside = outside;
  }

  /** Takes the cable out, or puts it back. */
  setUp(isUp: boolean): void {
    run("ip", ["link", "set", this.#outside, isUp ? "up" : "down"]);
  }

  remove(): void {
    run("ip", ["link", "del", this.#outside]);
  }

  /** From now on nothing that comes from `from` arrives here. */
  dropFrom(from: Link): void {
    this.#inside("iptables", ["-A", "INPUT", "-s", from.address, "-j", "DROP"]);
  }

  /** From now on this share of what arrives from any other member is lost. */
  loseFrom(others: readonly Link[], share: number): void {
    for (const { address } of others) {
      const match = ["-m", "statistic", "--mode", "random", "--probability", String(share)];
      this.#inside("iptables", ["-A", "INPUT", "-s", address, ...match, "-j", "DROP"]);
    }
  }

  /** Ends every drop and loss here. Returns how many packets they took. */
  heal(): number {
    const dropped = this.droppedPackets;
    this.#inside("iptables", ["-F", "INPUT"]);
    return dropped;
  }

  get droppedPackets(): number {
    return this.#inside("iptables", ["-L", "INPUT", "-v", "-n", "-x"])
      .split("\n")
      .filter((line) => line.includes("DROP"))
      .reduce((sum, line) => sum + Number(line.trim().split(/\s+/)[0]), 0);
  }

  #inside(program: string, args: readonly string[]): string {
    return run(must(this.prefix[0], "a prefix has a program"), [...this.prefix.slice(1), program, ...args]);
  }
}

export class Network {
  readonly links: Link[] = [];
  readonly #holders: ChildProcess[] = [];

  constructor() {
    run("ip", ["link", "set", "lo", "up"]);
    run("ip", ["link", "add", bridge, "type", "bridge"]);
    run("ip", ["addr", "add", `${prefix}.254/24`, "dev", bridge]);
    run("ip", ["link", "set", bridge, "up"]);
  }

  async addLink(): Promise<Link> {
    const number = this.links.length + 1;
    // It reads until this process is gone, however that ends, and the namespace goes with it.
    const holder = spawn("unshare", ["--net", "cat"], { stdio: ["pipe", "ignore", "ignore"] });
    this.#holders.push(holder);
    const pid = must(holder.pid, "a started process has an id");
    await ownNamespace(pid);
    const [outside, inside] = [`v${number}`, `e${number}`];
    const link = new Link(`${prefix}.${number}`, pid, outside);
    run("ip", ["link", "add", outside, "type", "veth", "peer", "name", inside]);
    run("ip", ["link", "set", inside, "netns", String(pid)]);
    run("ip", ["link", "set", outside, "master", bridge]);
    link.setUp(true);
    const enter = [`--net=/proc/${pid}/ns/net`, "ip"];
    run("nsenter", [...enter, "link", "set", "lo", "up"]);
    run("nsenter", [...enter, "addr", "add", `${link.address}/24`, "dev", inside]);
    run("nsenter", [...enter, "link", "set", inside, "up"]);
    this.links.push(link);
    return link;
  }

  stop(): void {
    for (const link of this.links) link.remove();
    for (const holder of this.#holders) holder.kill("SIGKILL");
    run("ip", ["link", "del", bridge]);
  }
}

const namespaceAttempts = 200;

/** Resolves once the process has left this one's namespace. */
async function ownNamespace(pid: number): Promise<void> {
  const own = run("readlink", ["/proc/self/ns/net"]);
  for (let attempt = 0; attempt < namespaceAttempts; attempt++) {
    if (run("readlink", [`/proc/${pid}/ns/net`]) !== own) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error("no network namespace could be made: that takes root");
}

function run(program: string, args: readonly string[]): string {
  return execFileSync(program, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}
