// A member made of the peer adapter and Raft over memory alone. It votes, leads and replicates, and keeps no store:
// enough for a real etcd to take it for one of its own.
import { createHash } from "node:crypto";
import { must } from "../../../node/lib/assert.ts";
import { concatBytes, utf8 } from "../../../node/lib/bytes.ts";
import { type NodeId, noNode } from "../../../node/lib/ids.ts";
import { silentLogger } from "../../../node/lib/log.ts";
import { SeededRandom } from "../../../node/lib/random.ts";
import { bootstrapClusterId, bootstrapMemberId } from "../../../node/membership/identity.ts";
import { encodeMember, type Member } from "../../../node/membership/member.ts";
import { realClock } from "../../../node/observe/real-clock.ts";
import {
  type IncomingSnapshot,
  type LeaseRefusal,
  type MemberPort,
  type OutgoingSnapshot,
  type PeerMetrics,
  silentPeerMetrics,
} from "../../../node/peer/port.ts";
import { PeerServer } from "../../../node/peer/server.ts";
import { Transport } from "../../../node/peer/transport.ts";
import { confChangeOf } from "../../../node/raft/conf-change.ts";
import { noLimit } from "../../../node/raft/entry-size.ts";
import { MemoryStorage } from "../../../node/raft/memory-storage.ts";
import { RawNode } from "../../../node/raft/raw-node.ts";
import { codecs } from "../../../node/wire/codecs.ts";
import type { Entry, Message, MessageType, Snapshot } from "../../../node/wire/raft.ts";
import type { InternalRaftRequest } from "../../../node/wire/rpc.ts";

export const token = "etcd-cluster";
const tickMs = 100;
const electionTicks = 10;

export interface ClusterMember {
  readonly name: string;
  readonly peerUrl: string;
}

export function memberId(peerUrl: string): NodeId {
  return bootstrapMemberId([peerUrl], token, sha1);
}

function sha1(bytes: Uint8Array): Uint8Array {
  return createHash("sha1").update(bytes).digest();
}

/** Who asked this member what, beside Raft. */
export class AskedMember implements MemberPort {
  readonly asked: string[] = [];
  readonly #members: readonly Member[];
  lease: { readonly ttlSeconds: number } | LeaseRefusal = "notFound";

  constructor(members: readonly Member[]) {
    this.#members = members;
  }

  storageVersion(): string {
    return "3.6.0";
  }

  clusterVersion(): string {
    return "3.6.0";
  }

  membersJson(): string {
    return `[${this.#members.map(encodeMember).join(",")}]`;
  }

  async promote(): Promise<{ readonly ok: false; readonly reason: "notFound" }> {
    return { ok: false, reason: "notFound" };
  }

  async hashKv(revision: number): Promise<{ readonly ok: false; readonly reason: "futureRevision" }> {
    this.asked.push(`hashkv ${revision}`);
    return { ok: false, reason: "futureRevision" };
  }

  async renewLease(id: bigint): ReturnType<MemberPort["renewLease"]> {
    this.asked.push(`renew ${id}`);
    return typeof this.lease === "string"
      ? { ok: false, reason: this.lease }
      : { ok: true, ttlSeconds: this.lease.ttlSeconds };
  }

  async leaseTimeToLive(id: bigint): ReturnType<MemberPort["leaseTimeToLive"]> {
    this.asked.push(`time to live ${id}`);
    if (typeof this.lease === "string") return { ok: false, reason: this.lease };
    const { ttlSeconds } = this.lease;
    return { ok: true, ttlSeconds, grantedTtlSeconds: ttlSeconds, keys: [utf8("attached")] };
  }

  async isDowngradeEnabled(): Promise<{ readonly ok: true; readonly isEnabled: boolean }> {
    return { ok: true, isEnabled: false };
  }
}

export class PosingMember {
  readonly id: NodeId;
  readonly transport: Transport;
  readonly member: AskedMember;
  /** Data of normal entries, in the order they were applied. */
  readonly applied: Uint8Array[] = [];
  readonly receivedTypes = new Set<MessageType>();
  readonly roundTrips: number[] = [];
  /** Stores that were received whole. */
  readonly stores: Uint8Array[] = [];
  readonly snapshots: Snapshot[] = [];
  wasRemoved = false;
  #offered: Uint8Array | undefined;
  readonly #server: PeerServer;
  readonly #storage = new MemoryStorage();
  readonly #node: RawNode;
  #timer: NodeJS.Timeout | undefined;
  #isDriveDue = false;

  constructor(self: ClusterMember, cluster: readonly ClusterMember[]) {
    const members = cluster
      .map(({ name, peerUrl }): Member => {
        return { id: memberId(peerUrl), name, peerUrls: [peerUrl], clientUrls: [], isLearner: false };
      })
      .sort((a, b) => (a.id < b.id ? -1 : 1));
    this.id = memberId(self.peerUrl);
    this.member = new AskedMember(members);
    const clusterId = bootstrapClusterId(
      members.map(({ id }) => id),
      sha1,
    );
    const metrics: PeerMetrics = {
      ...silentPeerMetrics,
      roundTripSeconds: (_to, seconds) => this.roundTrips.push(seconds),
    };
    this.transport = new Transport({
      local: { nodeId: this.id, clusterId, peerUrls: () => [self.peerUrl] },
      raft: {
        receive: (message) => this.#receive(message),
        receiveUnproven: (message) => this.#receive(message),
        isRemoved: () => false,
        reportUnreachable: (id) => this.#node.reportUnreachable(id),
        reportGone() {},
        reportSnapshot: (id, ok) => this.#node.reportSnapshot(id, ok),
        onRemoved: () => {
          this.wasRemoved = true;
        },
      },
      snapshots: { begin: () => this.#beginStore(), open: (message) => this.#openStore(message) },
      clock: realClock,
      logger: silentLogger,
      metrics,
      limits: { probeIntervalMs: 500 },
    });
    this.#server = new PeerServer({
      transport: this.transport,
      member: this.member,
      onUnexpected(error) {
        throw error;
      },
    });
    this.#node = new RawNode({
      id: this.id,
      electionTicks,
      heartbeatTicks: 1,
      storage: this.#storage,
      random: new SeededRandom(Number(this.id & 0xffffn)),
      messageBytesMax: 1024 * 1024,
      uncommittedBytesMax: noLimit,
      inflightMessagesMax: 512,
      checkQuorum: true,
      preVote: true,
    });
    this.#node.bootstrap(members.map((member) => ({ id: member.id, context: utf8(encodeMember(member)) })));
  }

  async start(port: number, peers: readonly ClusterMember[]): Promise<void> {
    await this.#server.listen({ host: "127.0.0.1", port });
    for (const { peerUrl } of peers) this.transport.addPeer(memberId(peerUrl), [peerUrl]);
    this.#timer = setInterval(() => {
      this.#node.tick();
      this.#drive();
    }, tickMs);
    this.#drive();
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.transport.stop();
    await this.#server.stop();
  }

  get isLeader(): boolean {
    return this.#node.basicStatus().state === "StateLeader";
  }

  get leader(): NodeId {
    return this.#node.basicStatus().lead;
  }

  takeLead(): void {
    this.#node.transferLeader(this.id);
    this.#drive();
  }

  handLeadTo(id: NodeId): void {
    this.#node.transferLeader(id);
    this.#drive();
  }

  propose(request: Partial<InternalRaftRequest>): void {
    const header = { ID: BigInt(Date.now()) * 1000n, username: "", authRevision: 0 };
    const create = codecs.InternalRaftRequest.create({ ...request, header });
    this.#node.propose(codecs.InternalRaftRequest.encode(create));
    this.#drive();
  }

  /** From now on this is the snapshot for who is behind, and the log begins after it. */
  offerStore({ data, metadata }: Snapshot, store: Uint8Array): void {
    this.#storage.createSnapshot(metadata.index, { confState: metadata.confState, data });
    this.#storage.compact(metadata.index);
    this.#offered = store;
  }

  /** Values that were put under the key, in order. */
  valuesOf(key: string): readonly string[] {
    const values: string[] = [];
    for (const data of this.applied) {
      if (data.length === 0) continue;
      const { put } = codecs.InternalRaftRequest.decode(data);
      if (put !== undefined && Buffer.from(put.key).toString() === key) {
        values.push(Buffer.from(put.value).toString());
      }
    }
    return values;
  }

  #receive(message: Message): void {
    this.receivedTypes.add(message.type);
    this.#node.step(message);
    if (this.#isDriveDue) return;
    this.#isDriveDue = true;
    setImmediate(() => {
      this.#isDriveDue = false;
      this.#drive();
    });
  }

  #drive(): void {
    while (this.#node.hasReady()) {
      const ready = this.#node.ready();
      if (ready.hardState !== undefined) this.#storage.setHardState(ready.hardState);
      if (ready.snapshot !== undefined) {
        this.#storage.applySnapshot(ready.snapshot);
        this.snapshots.push(ready.snapshot);
      }
      this.#storage.append(ready.entries);
      this.transport.send(ready.messages);
      this.transport.send(ready.messagesAfterAppend);
      for (const entry of ready.committedEntries) this.#apply(entry);
      this.#node.advance();
    }
  }

  async #openStore(message: Message): Promise<OutgoingSnapshot> {
    const store = must(this.#offered, "a store was offered");
    async function* slices(): AsyncGenerator<Uint8Array> {
      for (let at = 0; at < store.length; at += 4096) yield store.subarray(at, at + 4096);
    }
    return { message, fileBytes: store.length, bytes: slices(), close() {} };
  }

  async #beginStore(): Promise<IncomingSnapshot> {
    const chunks: Uint8Array[] = [];
    return {
      write: async (bytes) => void chunks.push(bytes),
      finish: async () => void this.stores.push(concatBytes(chunks)),
      abort() {},
    };
  }

  #apply(entry: Entry): void {
    if (entry.type === "EntryNormal") {
      this.applied.push(entry.data);
      return;
    }
    const change = confChangeOf(entry);
    if (change !== undefined) this.#node.applyConfChange(change);
  }

  get hasLeader(): boolean {
    return this.leader !== noNode;
  }
}
