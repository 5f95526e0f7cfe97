// A small world for the operator: kubelets that start and stop members, disks that can be wiped or damaged, and
// members that form a cluster by etcd's rules. It knows what the operator must never do, and throws Violation at
// the very call that does it.
import type { Operation } from "../../api/cluster-status.ts";
import { annotations } from "../../api/group.ts";
import { must } from "../../lib/assert.ts";
import {
  type Answer,
  codes,
  type Defragmentation,
  type Endpoint,
  MemberError,
  type Members,
} from "../../member/port.ts";
import type { Roster, RosterEntry } from "../../model/observation.ts";
import { Certificates } from "./certificates.ts";
import { MemoryApi, type StoredObject } from "./memory-api.ts";
import { Violation } from "./violation.ts";

interface Disk {
  /** Undefined until a member has started on it. */
  memberId?: string;
  isDamaged: boolean;
  dbSizeBytes: number;
}

interface Running {
  readonly memberId: string;
  /** When its defragmentation began, if one is under way. */
  defragmentingSince?: number;
  readonly startedTick: number;
}

const dbInUseBytes = 500_000;
const dbQuotaBytes = 1_050_000;
/** Ticks that a defragmentation takes. */
const defragmentTicks = 2;

/** Ticks after which a learner has the leader's log. */
const catchUpTicks = 3;

export class World implements Members {
  readonly api = new MemoryApi();
  readonly certificates = new Certificates(this.api);
  nowMs = 1_700_000_000_000;
  #tick = 0;
  /** By uid of the volume claim. */
  readonly #disks = new Map<string, Disk>();
  /** By uid of the Pod. */
  readonly #running = new Map<string, Running>();
  readonly #addresses = new Map<string, string>();
  #formations = 0;
  /** First members that began with a snapshot. */
  restorations = 0;
  /** Files on volumes that no member begins with. */
  readonly damagedFiles = new Set<string>();
  /** What members had that stopped for a restore. */
  readonly #former = new Set<Disk>();
  #clusterId = "";
  #entries: RosterEntry[] = [];
  #leaderId = "";
  #ids = 0;
  /** Pods, by uid, that neither run nor go away. */
  readonly #lostPods = new Set<string>();
  /** As etcd up to 3.6: no member is added unless all voters are connected. */
  isStrict = false;
  /** Ids of members that raised NOSPACE. */
  readonly fullMembers = new Set<string>();
  beforeCall: (what: string) => void = () => {};
  readonly history: string[] = [];

  constructor() {
    this.api.wallMs = () => this.nowMs;
  }

  get entries(): readonly RosterEntry[] {
    return this.#entries;
  }

  get formations(): number {
    return this.#formations;
  }

  /** One second, or more: kubelets do their work, and an election is held if it is needed. */
  tick(seconds = 1): void {
    this.#tick++;
    this.nowMs += seconds * 1_000;
    for (const pod of this.api.all("pods")) {
      if (this.#lostPods.has(pod.metadata.uid)) this.#running.delete(pod.metadata.uid);
      else if (pod.metadata.deletionTimestamp !== undefined) this.#end(pod);
      else if (!this.#running.has(pod.metadata.uid)) this.#start(pod);
    }
    for (const volume of this.api.all("persistentvolumeclaims")) {
      this.#provide(volume);
      const isUsed = this.api.all("pods").some((pod) => claimOf(pod) === volume.metadata.name);
      if (volume.metadata.deletionTimestamp !== undefined && !isUsed) {
        this.#disks.delete(volume.metadata.uid);
        this.api.erase("persistentvolumeclaims", volume.metadata.name);
      }
    }
    this.#elect();
    const running = this.api.all("pods").filter((pod) => this.#running.has(pod.metadata.uid));
    this.certificates.tick(running, this.nowMs);
  }

  /** A claim is bound, and grows with what it asks for. */
  #provide({ metadata, ...claim }: StoredObject): void {
    const { resources } = claim["spec"] as { resources: { requests: { storage: string } } };
    const { storage } = resources.requests;
    const status = claim["status"] as { capacity?: { storage: string } } | undefined;
    if (status?.capacity?.storage === storage) return;
    const now = { phase: "Bound", capacity: { storage } };
    this.api.edit("persistentvolumeclaims", metadata.name, { status: now });
  }

  #end(pod: StoredObject): void {
    this.#running.delete(pod.metadata.uid);
    this.api.erase("pods", pod.metadata.name);
  }

  #start(pod: StoredObject): void {
    const claim = this.api.get("persistentvolumeclaims", claimOf(pod));
    if (claim === undefined || claim.metadata.deletionTimestamp !== undefined) return;
    if (!this.certificates.mount(pod, this.nowMs)) return;
    const uid = pod.metadata.uid;
    const address = this.#addresses.get(uid) ?? `10.0.0.${this.#addresses.size + 1}`;
    this.#addresses.set(uid, address);
    this.api.edit("pods", pod.metadata.name, {
      spec: { nodeName: "node" },
      status: { phase: "Running", podIP: address },
    });
    const disk = this.#disks.get(claim.metadata.uid) ?? { isDamaged: false, dbSizeBytes: 1_000_000 };
    this.#disks.set(claim.metadata.uid, disk);
    const damaged = [...this.damagedFiles].find((file) => JSON.stringify(pod["spec"]).includes(`/${file}"`));
    if (damaged !== undefined) {
      const message = JSON.stringify({ error: `${damaged} is damaged` });
      const terminated = { exitCode: 1, message };
      const initContainerStatuses = [{ restartCount: 0, state: { terminated } }];
      this.api.edit("pods", pod.metadata.name, { status: { phase: "Pending", initContainerStatuses } });
      return;
    }
    const outcome = this.#boot(pod, disk);
    if (typeof outcome === "object") {
      this.#running.set(uid, outcome);
      this.#setContainer(pod, { running: {} });
    } else {
      this.#setContainer(pod, { terminated: { exitCode: 1, message: JSON.stringify({ reason: outcome }) } });
    }
  }

  #setContainer(pod: StoredObject, state: object): void {
    const before = this.api.get("pods", pod.metadata.name)?.["status"] as
      | { containerStatuses?: { restartCount: number; state?: object }[] }
      | undefined;
    const old = before?.containerStatuses?.[0];
    const restartCount = old === undefined ? 0 : old.restartCount + 1;
    this.api.edit("pods", pod.metadata.name, { status: { containerStatuses: [{ restartCount, state }] } });
  }

  /** What a member does with its disk and what it was told: it runs, or says why it ends. */
  #boot(pod: StoredObject, disk: Disk): Running | string {
    const notes = pod.metadata.annotations ?? {};
    if (disk.isDamaged) return "STORE_DAMAGED";
    if (disk.memberId !== undefined) {
      const isMember = this.#entries.some((entry) => entry.id === disk.memberId);
      return isMember ? { memberId: disk.memberId, startedTick: this.#tick } : "REMOVED";
    }
    const peerUrl = this.#urlOf(pod);
    if (notes[annotations.initialClusterState] === "new") {
      this.#formations++;
      const isRestored = (pod["spec"] as { initContainers?: unknown }).initContainers !== undefined;
      if (isRestored) this.restorations++;
      if (this.#formations > 1) this.#leaveFormer(isRestored);
      this.#clusterId = (0xc000 + this.#formations).toString(16);
      const id = this.#newId();
      this.#entries = [{ id, name: pod.metadata.name, peerUrl, isLearner: false }];
      this.#leaderId = id;
      disk.memberId = id;
      return { memberId: id, startedTick: this.#tick };
    }
    const entry = this.#entries.find((one) => one.peerUrl === peerUrl);
    if (entry === undefined) return "not a member";
    const told = (notes[annotations.initialCluster] ?? "").split(",").map((pair) => pair.split("=")[1]);
    const asked = this.#entries.filter((one) => one !== entry && told.includes(one.peerUrl));
    if (!asked.some((one) => this.#runs(one.id))) return "no member answers";
    if (entry.name !== "") return "DATA_LOST";
    const known = this.#entries.map((one) => one.peerUrl);
    if (told.toSorted().join() !== known.toSorted().join()) return "the member count is unequal";
    disk.memberId = entry.id;
    this.#entries = this.#entries.map((one) =>
      one.id === entry.id ? { ...one, name: pod.metadata.name } : one,
    );
    return { memberId: entry.id, startedTick: this.#tick };
  }

  /** Only a restore on record forms a cluster where there was one, when nothing of it can answer any more. */
  #leaveFormer(isRestored: boolean): void {
    if (this.#operation()?.type !== "Restore" || !isRestored)
      throw new Violation("a second cluster was formed");
    const left = this.api.all("pods").filter((pod) => this.#lostPods.has(pod.metadata.uid));
    if (this.#running.size > 0 || left.length > 0)
      throw new Violation("members of before a restore still run");
    for (const disk of this.#disks.values()) if (disk.memberId !== undefined) this.#former.add(disk);
  }

  #urlOf(pod: StoredObject): string {
    const args = (pod["spec"] as { containers: { args: string[] }[] }).containers[0]?.args ?? [];
    const flag = "--initial-advertise-peer-urls=";
    return must(
      args.find((arg) => arg.startsWith(flag)),
      "a member is told its peer URL",
    ).slice(flag.length);
  }

  #newId(): string {
    return (0xa000 + ++this.#ids).toString(16);
  }

  #runs(id: string): boolean {
    return [...this.#running.values()].some((one) => one.memberId === id);
  }

  get #voters(): readonly RosterEntry[] {
    return this.#entries.filter((entry) => !entry.isLearner);
  }

  get hasQuorum(): boolean {
    const running = this.#voters.filter((entry) => this.#runs(entry.id)).length;
    return this.#voters.length > 0 && running > this.#voters.length / 2;
  }

  /** Whether the data outlives the loss of any one disk. */
  get mayLoseOne(): boolean {
    return this.#voters.length >= 3 && this.#voters.every((entry) => this.#runs(entry.id));
  }

  #elect(): void {
    const isLed = this.#voters.some((entry) => entry.id === this.#leaderId) && this.#runs(this.#leaderId);
    if (isLed || !this.hasQuorum) return;
    this.#leaderId = this.#voters.find((entry) => this.#runs(entry.id))?.id ?? "";
  }

  // ---- Faults ----

  /** The process ends and starts again at the next tick. */
  kill(podName: string): void {
    const pod = this.api.get("pods", podName);
    if (pod !== undefined) this.#running.delete(pod.metadata.uid);
    this.#elect();
  }

  /** Its Pod stops at once, so that nobody takes it for a good copy any more. */
  loseNodeOf(podName: string): void {
    const pod = this.api.get("pods", podName);
    if (pod !== undefined) this.#lostPods.add(pod.metadata.uid);
    this.kill(podName);
  }

  /** Its kubelet ends what was to end. */
  findNodeOf(podName: string): void {
    const pod = this.api.get("pods", podName);
    if (pod !== undefined) this.#lostPods.delete(pod.metadata.uid);
  }

  wipe(podName: string): void {
    this.#changeDisk(podName, (disk) => {
      delete disk.memberId;
    });
  }

  damage(podName: string): void {
    this.#changeDisk(podName, (disk) => {
      disk.isDamaged = true;
    });
  }

  #changeDisk(podName: string, change: (disk: Disk) => void): void {
    const pod = this.api.get("pods", podName);
    const claim = pod && this.api.get("persistentvolumeclaims", claimOf(pod));
    const disk = claim && this.#disks.get(claim.metadata.uid);
    if (disk !== undefined) change(disk);
    this.kill(podName);
  }

  podNames(): string[] {
    return this.api
      .all("pods")
      .map((pod) => pod.metadata.name)
      .sort();
  }

  leaderName(): string | undefined {
    return this.#entries.find((entry) => entry.id === this.#leaderId)?.name;
  }

  // ---- What must never happen, asked before a change of Pods or volumes ----

  /** A Pod that is about to be deleted: the cluster must stay writable, unless it is to stop. */
  checkPodDeletion(name: string, isAllowedToStop: boolean): void {
    const pod = this.api.get("pods", name);
    const running = pod && this.#running.get(pod.metadata.uid);
    if (running === undefined || pod?.metadata.deletionTimestamp !== undefined || isAllowedToStop) return;
    const isVoter = this.#voters.some((entry) => entry.id === running.memberId);
    if (!isVoter || this.#voters.length === 1) return;
    const others = this.#voters.filter((entry) => entry.id !== running.memberId && this.#runs(entry.id));
    if (others.length <= this.#voters.length / 2) throw new Violation(`deleting ${name} loses the quorum`);
  }

  /** One that is to form another cluster: until then everything of before has stopped. */
  checkPodCreation(pod: StoredObject): void {
    const isNew = pod.metadata.annotations?.[annotations.initialClusterState] === "new";
    const others = this.podNames().filter((name) => name !== pod.metadata.name);
    if (isNew && this.#formations > 0 && others.length > 0) {
      throw new Violation(`${pod.metadata.name} is to form a cluster while ${others.join()} may run`);
    }
  }

  checkVolumeDeletion(name: string): void {
    const claim = must(this.api.get("persistentvolumeclaims", name), "what is deleted is there");
    const disk = this.#disks.get(claim.metadata.uid);
    if (disk?.memberId === undefined) return;
    if (this.#former.has(disk)) throw new Violation(`volume ${name} of before a restore is deleted`);
    if (this.#voters.some((entry) => entry.id === disk.memberId)) {
      throw new Violation(`volume ${name} of a voter is deleted`);
    }
    const good = [...this.#disks.values()].filter(
      (one) => one !== disk && !one.isDamaged && this.#voters.some((entry) => entry.id === one.memberId),
    );
    if (good.length === 0) throw new Violation(`volume ${name} may be the last good copy`);
  }

  // ---- Members, as the operator calls them ----

  async ask(at: Endpoint): Promise<Answer> {
    const running = this.#at(at);
    if (running === undefined) return { probe: { isAnswered: false, error: "connection refused" } };
    const entry = this.#entries.find((one) => one.id === running.memberId);
    if (entry === undefined) return { probe: { isAnswered: false, error: "removed" } };
    const isParticipating = !entry.isLearner && this.hasQuorum;
    const hasCaughtUp = !entry.isLearner || this.#tick - running.startedTick >= catchUpTicks;
    const probe = {
      isAnswered: true as const,
      clusterId: this.#clusterId,
      memberId: entry.id,
      leaderId: this.hasQuorum ? this.#leaderId : "0",
      isLearner: entry.isLearner,
      isParticipating,
      raftIndex: hasCaughtUp ? 1_000 : 10,
      version: "0.1.0",
      dbSizeBytes: this.#diskOf(entry.id)?.dbSizeBytes ?? 0,
      dbInUseBytes,
      dbQuotaBytes,
    };
    const roster: Roster = {
      clusterId: this.#clusterId,
      members: structuredClone(this.#entries),
      alarms: [...this.fullMembers].map((memberId) => ({ memberId, alarm: "NOSPACE" })),
    };
    return isParticipating ? { probe, roster } : { probe };
  }

  async addLearner(at: Endpoint, peerUrl: string): Promise<void> {
    this.#change(at, `add ${peerUrl}`);
    if (this.#entries.some((entry) => entry.peerUrl === peerUrl)) {
      throw refusal("etcdserver: Peer URLs already exists");
    }
    if (this.#entries.some((entry) => entry.isLearner))
      throw refusal("etcdserver: too many learner members in cluster");
    if (this.isStrict && this.#voters.some((entry) => !this.#runs(entry.id))) {
      throw refusal("etcdserver: unhealthy cluster");
    }
    this.#entries = [...this.#entries, { id: this.#newId(), name: "", peerUrl, isLearner: true }];
  }

  async promote(at: Endpoint, id: string): Promise<void> {
    this.#change(at, `promote ${id}`);
    const entry = this.#entries.find((one) => one.id === id);
    if (entry === undefined) throw refusal("etcdserver: member not found");
    if (!entry.isLearner) throw refusal("etcdserver: can only promote a learner member");
    const running = [...this.#running.values()].find((one) => one.memberId === id);
    if (running === undefined || this.#tick - running.startedTick < catchUpTicks) {
      throw refusal("etcdserver: can only promote a learner member which is in sync with leader");
    }
    this.#entries = this.#entries.map((one) => (one.id === id ? { ...one, isLearner: false } : one));
    if (!this.hasQuorum) throw new Violation(`promoting ${id} loses the quorum`);
  }

  async remove(at: Endpoint, id: string): Promise<void> {
    this.#change(at, `remove ${id}`);
    const entry = this.#entries.find((one) => one.id === id);
    if (entry === undefined) throw refusal("etcdserver: member not found");
    if (id === this.#leaderId && this.#voters.length > 1) throw new Violation(`the leader ${id} is removed`);
    this.#entries = this.#entries.filter((one) => one.id !== id);
    if (!this.hasQuorum) throw new Violation(`removing ${id} loses the quorum`);
    for (const [uid, running] of this.#running) if (running.memberId === id) this.#running.delete(uid);
  }

  async moveLeader(at: Endpoint, toId: string): Promise<void> {
    this.#change(at, `move leader to ${toId}`);
    if (this.#at(at)?.memberId !== this.#leaderId) throw refusal("etcdserver: not leader");
    if (!this.#runs(toId)) throw refusal("etcdserver: bad leader transferee");
    this.#leaderId = toId;
  }

  async defragment(at: Endpoint): Promise<Defragmentation> {
    const running = this.#at(at);
    const name = this.#entries.find((entry) => entry.id === running?.memberId)?.name ?? "";
    this.#change(at, `defragment ${name}`);
    const member = must(running, "a member whose call was answered runs");
    const operation = must(this.#operation(), "the change before was checked for it");
    if (operation.type !== "Defragment" || operation.member !== name) {
      throw new Violation(`${name} is defragmented while ${operation.type} ${operation.member} is on record`);
    }
    const others = this.#voters.filter((entry) => entry.id !== member.memberId && this.#runs(entry.id));
    if (this.#voters.length > 1 && others.length <= this.#voters.length / 2) {
      throw new Violation(`${name} is defragmented although the rest has no quorum`);
    }
    member.defragmentingSince ??= this.#tick;
    if (this.#tick - member.defragmentingSince < defragmentTicks) return { isOver: false };
    delete member.defragmentingSince;
    const disk = must(this.#diskOf(member.memberId), "a member that runs has a disk");
    disk.dbSizeBytes = dbInUseBytes;
    return { isOver: true };
  }

  async disarmNoSpace(at: Endpoint, id: string): Promise<void> {
    this.beforeCall(`disarm ${id}`);
    this.history.push(`disarm ${id}`);
    if (this.#at(at) === undefined || !this.hasQuorum) throw refusal("etcdserver: no leader");
    this.fullMembers.delete(id);
  }

  #diskOf(memberId: string): Disk | undefined {
    return [...this.#disks.values()].find((disk) => disk.memberId === memberId && !disk.isDamaged);
  }

  #change(at: Endpoint, what: string): void {
    this.beforeCall(what);
    this.history.push(what);
    const running = this.#at(at);
    if (running === undefined || !this.hasQuorum) throw refusal("etcdserver: no leader", codes.unavailable);
    if (this.#operation() === undefined) throw new Violation(`${what} without an operation on record`);
  }

  /** What is on record as being in flight. */
  #operation(): Operation | undefined {
    const status = this.api.all("etcdlikeclusters")[0]?.["status"];
    return (status as { operation?: Operation } | undefined)?.operation;
  }

  #at(at: Endpoint): Running | undefined {
    const ip = at.address.split(":")[0];
    const uid = [...this.#addresses].find(([, one]) => one === ip)?.[0];
    const pod = this.api.all("pods").find(({ metadata }) => metadata.uid === uid);
    if (uid === undefined || pod === undefined || !this.certificates.admits(pod, at)) return undefined;
    return this.#running.get(uid);
  }
}

function claimOf(pod: StoredObject): string {
  const spec = pod["spec"] as { volumes: { persistentVolumeClaim?: { claimName: string } }[] };
  return (
    spec.volumes.find((one) => one.persistentVolumeClaim !== undefined)?.persistentVolumeClaim?.claimName ??
    ""
  );
}

function refusal(text: string, code: number = codes.failedPrecondition): MemberError {
  return new MemberError(code, text, "refused");
}
