// Passes over one cluster in a World, with a crash at a chosen change.

import { kinds } from "../../kube/objects.ts";
import type { Cluster, Defrag, Member } from "../../model/objects.ts";
import type { Restore, Snapshot } from "../../model/snapshot-objects.ts";
import { type PassPorts, pass } from "../pass.ts";
import { type Secret, textOf } from "../secrets.ts";
import type { ClusterState, Pod, VolumeClaim } from "../state.ts";
import type { StoredObject } from "./memory-api.ts";
import { rememberingPki } from "./remembering-pki.ts";
import { Violation } from "./violation.ts";
import { World } from "./world.ts";

export class Crash extends Error {
  override readonly name = "Crash";
}

export interface RunOptions {
  readonly spec: object;
  /** At which change the operator crashes, and whether the change is done. */
  readonly crashAt?: { readonly change: number; readonly isDone: boolean };
  /** Asked at every change instead: "before" and "after" crash there. */
  readonly crash?: () => "before" | "after" | "no";
  /** The copies show what was this many changes ago. */
  readonly staleness?: () => number;
}

const defaults = {
  replicas: 3,
  version: "0.1.0",
  image: { pullPolicy: "IfNotPresent" },
  storage: { size: "1Gi", reclaimPolicy: "Delete" },
  template: { terminationGracePeriodSeconds: 30 },
  spread: { mode: "Preferred", topologyKeys: ["kubernetes.io/hostname"] },
  services: { client: { type: "ClusterIP" } },
  tls: {
    peer: { mode: "Mutual", source: "Auto" },
    client: { mode: "None", source: "Auto" },
    rotation: { renewBeforeSeconds: 30 * 86_400, caOverlapSeconds: 600 },
  },
  options: {},
  updateStrategy: { type: "RollingMember" },
  healing: { replaceAfterSeconds: 60, maintenanceSeconds: 60, maxReplacementsPerHour: 20 },
  maintenance: {},
  monitoring: { scrape: "PodMonitor" },
  paused: false,
  progressDeadlineSeconds: 120,
};

/** Where a snapshot is said to be. */
export const snapshotFile = { pvc: { claimName: "backups", path: "a.db" } };

const pki = rememberingPki();
const toldMax = 100;

export class Run {
  readonly world = new World();
  /** Changes that were asked for so far. */
  changes = 0;
  crashes = 0;
  /** The last events. */
  readonly told: string[] = [];
  holder = 0;
  readonly #options: RunOptions;
  readonly #history: ClusterState[] = [];

  constructor(options: RunOptions) {
    this.#options = options;
    void this.#declare({ ...defaults, ...options.spec });
    this.world.api.beforeChange = (request) => {
      const name = request.path.split("/").at(-1) ?? "";
      const { world } = this;
      if (request.method === "POST" && request.path.endsWith("/pods")) {
        world.certificates.checkPodCreation(request.body as StoredObject);
        world.checkPodCreation(request.body as StoredObject);
      }
      if (request.method === "DELETE" && request.path.includes("/pods/")) {
        const { spec, status } = this.cluster();
        world.checkPodDeletion(name, spec.replicas === 0 || status?.operation?.type === "Restore");
      }
      if (request.method === "DELETE" && request.path.includes("/persistentvolumeclaims/")) {
        if (world.api.get("persistentvolumeclaims", name) !== undefined) world.checkVolumeDeletion(name);
      }
    };
  }

  cluster(): Cluster {
    return this.world.api.get("etcdlikeclusters", "c") as unknown as Cluster;
  }

  set(spec: object): void {
    this.world.api.edit("etcdlikeclusters", "c", {
      spec,
      metadata: { generation: (this.cluster().metadata.generation ?? 0) + 1 },
    });
  }

  /** An EtcdLikeRestore whose snapshot was proven. */
  async restore(name: string, from: object = { source: snapshotFile }): Promise<void> {
    const at = new Date(this.world.nowMs).toISOString();
    const proven = {
      type: "Verified",
      status: "True",
      reason: "Restored",
      message: "",
      lastTransitionTime: at,
    };
    await this.world.api.request({
      method: "POST",
      path: "/apis/etcdlike.io/v1alpha1/namespaces/default/etcdlikerestores",
      body: {
        kind: "EtcdLikeRestore",
        metadata: { name },
        spec: { clusterRef: { name: "c" }, consent: "c", ...from, bumpRevision: 1_000 },
        status: { phase: "Verifying", conditions: [proven] },
      },
    });
  }

  annotate(annotations: Readonly<Record<string, string>>): void {
    this.world.api.edit("etcdlikeclusters", "c", { metadata: { annotations } });
  }

  /** tls.crt of every Secret. */
  certificates(): ReadonlyMap<string, string> {
    return new Map(
      this.world.api.all("secrets").map((secret) => [secret.metadata.name, textOf(secret, "tls.crt") ?? ""]),
    );
  }

  #declare(spec: object): Promise<unknown> {
    return this.world.api.request({
      method: "POST",
      path: "/apis/etcdlike.io/v1alpha1/namespaces/default/etcdlikeclusters",
      body: { kind: "EtcdLikeCluster", metadata: { name: "c" }, spec },
    });
  }

  /** Deletes the cluster, waits until nothing but volumes is left of it, and declares it anew. */
  async declareAgain(): Promise<void> {
    const { api } = this.world;
    const { spec } = this.cluster();
    api.erase("etcdlikeclusters", "c");
    await this.until(() => ["etcdlikemembers", "pods"].every((plural) => api.all(plural).length === 0));
    await this.#declare(spec);
  }

  isReady(): boolean {
    const { status, metadata } = this.cluster();
    const ready = status?.conditions?.find((one) => one.type === "Ready");
    return ready?.status === "True" && status?.observedGeneration === metadata.generation;
  }

  /** Passes until nothing wants another at once, then a second of the world; until `done` or the limit. */
  async until(done: () => boolean, ticksMax = 600): Promise<void> {
    for (let tick = 0; tick < ticksMax; tick++) {
      await this.passes();
      if (done()) return;
      this.world.tick();
    }
    const status = this.world.api.get("etcdlikeclusters", "c")?.["status"];
    throw new Error(`not reached within ${ticksMax} s; status ${JSON.stringify(status, null, 1)}`);
  }

  async passes(): Promise<void> {
    for (let i = 0; i < 100; i++) {
      if (this.#options.staleness !== undefined) this.#history.push(this.#state());
      try {
        if ((await pass(this.#ports(), "default", "c")) !== 0) return;
      } catch (error) {
        if (error instanceof Violation) throw error;
        if (error instanceof Crash) {
          this.crashes++;
          this.holder++;
        } else if (!(error instanceof Error) || error.name === "AssertionFailure") throw error;
        else return;
      }
    }
    throw new Error("a hundred passes in one second");
  }

  #ports(): PassPorts {
    const { api } = this.world;
    const guard = async <T>(change: () => Promise<T>): Promise<T> => {
      const { crashAt, crash } = this.#options;
      const isHere = crashAt?.change === this.changes++;
      const when = isHere ? (crashAt.isDone ? "after" : "before") : (crash?.() ?? "no");
      if (when === "no") return change();
      if (when === "after") {
        await change().catch((error: unknown) => {
          if (error instanceof Violation) throw error;
        });
      }
      throw new Crash();
    };
    const { world } = this;
    return {
      client: {
        request: (request) =>
          request.method === "GET" ? api.request(request) : guard(() => api.request(request)),
        watch: () => api.watch(),
      },
      members: {
        ask: (at) => world.ask(at),
        addLearner: (at, peerUrl) => guard(() => world.addLearner(at, peerUrl)),
        promote: (at, id) => guard(() => world.promote(at, id)),
        remove: (at, id) => guard(() => world.remove(at, id)),
        moveLeader: (at, toId) => guard(() => world.moveLeader(at, toId)),
        defragment: (at) => guard(() => world.defragment(at)),
        disarmNoSpace: (at, id) => guard(() => world.disarmNoSpace(at, id)),
      },
      pki,
      readSecret: async (_namespace, name) => api.get("secrets", name) as Secret | undefined,
      clock: { nowMs: () => world.nowMs, wallMs: () => world.nowMs, after: () => () => {} },
      holder: `operator-${this.holder}`,
      settings: { memberImageRepository: "etcdlike" },
      readCached: () => {
        const age = this.#options.staleness?.() ?? 0;
        return this.#history[Math.max(0, this.#history.length - 1 - age)] ?? this.#state();
      },
      readFresh: async () => this.#state(),
      tell: (_cluster, { reason, message }) => {
        if (this.told.push(`${reason}: ${message}`) > toldMax) this.told.shift();
      },
      onAction: () => {},
    };
  }

  #state(): ClusterState {
    const { api } = this.world;
    // Stored objects are replaced, never changed.
    const of = <T>(plural: string) => api.all(plural) as unknown as T[];
    const others: StoredObject[] = [kinds.service, kinds.disruptionBudget, kinds.networkPolicy].flatMap(
      (kind) => api.all(kind.plural).map((object) => ({ ...object, kind: kind.kind })),
    );
    return {
      cluster: api.get("etcdlikeclusters", "c") as unknown as Cluster | undefined,
      members: of<Member>("etcdlikemembers"),
      defrags: of<Defrag>("etcdlikedefrags"),
      snapshots: of<Snapshot>("etcdlikesnapshots"),
      restores: of<Restore>("etcdlikerestores"),
      pods: of<Pod>("pods"),
      volumes: of<VolumeClaim>("persistentvolumeclaims"),
      secrets: of<Secret>("secrets"),
      others,
    };
  }
}
