// A small world for snapshots: Jobs whose agents store, verify and delete artifacts, and an operator that can be
// stopped at every change. It throws Violation at the very call that does what must never be done.
import type { ApiRequest, KubeClient } from "../../kube/client.ts";
import { type KubeObject, kinds } from "../../kube/objects.ts";
import type { Cluster } from "../../model/objects.ts";
import { MemoryApi, type StoredObject } from "../../reconcile/testing/memory-api.ts";
import { restorePass, type SnapshotPorts, schedulePass, snapshotPass } from "../pass.ts";

export class Violation extends Error {
  override readonly name = "Violation";
}

class Crash extends Error {
  override readonly name = "Crash";
}

export interface SnapshotWorldOptions {
  readonly cluster: Cluster;
  /** At which change the operator crashes, and whether the change is done. */
  readonly crashAt?: { readonly change: number; readonly isDone: boolean };
}

interface Artifact {
  isDamaged: boolean;
}

const namespace = "default";

export class SnapshotWorld {
  readonly api = new MemoryApi();
  nowMs = Date.parse("2026-03-10T02:59:30Z");
  /** By location, as the agent is told it. */
  readonly artifacts = new Map<string, Artifact>();
  /** Changes that were asked for so far. */
  changes = 0;
  crashes = 0;
  /** Told of every change that the operator asks for. */
  onRequest: (request: ApiRequest) => void = () => {};
  readonly #options: SnapshotWorldOptions;

  constructor(options: SnapshotWorldOptions) {
    this.#options = options;
    this.api.wallMs = () => this.nowMs;
  }

  async create(plural: string, name: string, fields: object): Promise<void> {
    const group = `/apis/etcdlike.io/v1alpha1/namespaces/${namespace}/${plural}`;
    const body = { metadata: { name, namespace }, ...fields };
    await this.api.request({ method: "POST", path: group, body });
  }

  names(plural: string): string[] {
    return this.api
      .all(plural)
      .map(({ metadata }) => metadata.name)
      .sort();
  }

  status(plural: string, name: string): Readonly<Record<string, unknown>> {
    return (this.api.get(plural, name)?.["status"] ?? {}) as Readonly<Record<string, unknown>>;
  }

  /** Passes over everything, then some seconds in which Jobs go on; until `done` or the limit. */
  async until(done: () => boolean, ticksMax = 300): Promise<void> {
    for (let tick = 0; tick < ticksMax; tick++) {
      for (let round = 0; round < 2; round++) await this.#passes();
      if (done()) return;
      this.#tick();
    }
    const left = [...this.api.objects.values()].map((object) => [object.metadata.name, object["status"]]);
    throw new Error(`not reached: ${JSON.stringify(left)}`);
  }

  async #passes(): Promise<void> {
    for (const name of this.names(kinds.schedule.plural)) await this.#pass(schedulePass, name);
    for (const name of this.names(kinds.snapshot.plural)) await this.#pass(snapshotPass, name);
    for (const name of this.names(kinds.restore.plural)) await this.#pass(restorePass, name);
  }

  async #pass(pass: typeof snapshotPass, name: string): Promise<void> {
    try {
      await pass(this.#ports(), namespace, name);
    } catch (error) {
      if (!(error instanceof Crash)) throw error;
      this.crashes++;
    }
  }

  #ports(): SnapshotPorts {
    const { api } = this;
    const all = (plural: string) => () => api.all(plural);
    const client: KubeClient = {
      request: (request) => {
        if (request.method === "GET") return api.request(request);
        this.onRequest(request);
        return this.#change(() => api.request(request));
      },
      watch: () => api.watch(),
    };
    return {
      client,
      copies: {
        clusters: () => [this.#options.cluster as unknown as KubeObject],
        snapshots: all(kinds.snapshot.plural),
        schedules: all(kinds.schedule.plural),
        restores: all(kinds.restore.plural),
        jobs: all(kinds.job.plural),
        pods: all(kinds.pod.plural),
      },
      clock: { nowMs: () => this.nowMs, wallMs: () => this.nowMs, after: () => () => {} },
      settings: { memberImageRepository: "etcdlike" },
      tell: () => {},
    };
  }

  async #change<T>(change: () => Promise<T>): Promise<T> {
    const { crashAt } = this.#options;
    if (crashAt?.change !== this.changes++) return change();
    if (crashAt.isDone) await change();
    throw new Crash();
  }

  /** Twenty seconds: an agent begins in one tick and ends in the next. */
  #tick(): void {
    this.nowMs += 20_000;
    for (const job of this.api.all(kinds.job.plural)) {
      const pod = this.api.get(kinds.pod.plural, `${job.metadata.name}-pod`);
      if (pod === undefined) this.#startPod(job);
      else if ((pod["status"] as { phase?: string }).phase === "Running")
        this.#endPod(job, pod.metadata.name);
    }
    // Without their Job, Pods go.
    for (const pod of this.api.all(kinds.pod.plural)) {
      if (pod.metadata.deletionTimestamp !== undefined) this.api.erase(kinds.pod.plural, pod.metadata.name);
    }
  }

  #startPod(job: StoredObject): void {
    const { name, labels, uid } = job.metadata;
    const { apiVersion, kind } = kinds.job;
    const body = {
      metadata: {
        name: `${name}-pod`,
        labels,
        ownerReferences: [{ apiVersion, kind, name, uid, controller: true }],
      },
      status: { phase: "Running" },
    };
    void this.api.request({ method: "POST", path: `/api/v1/namespaces/${namespace}/pods`, body });
  }

  #endPod(job: StoredObject, podName: string): void {
    const spec = job["spec"] as { template: { spec: { containers: { args: string[] }[] } } };
    const [, word = "", location = "", ...flags] = spec.template.spec.containers[0]?.args ?? [];
    const message = JSON.stringify(this.#agent(word, location, flags));
    this.api.edit(kinds.pod.plural, podName, {
      status: {
        phase: "Succeeded",
        containerStatuses: [{ state: { terminated: { exitCode: 0, message } } }],
      },
    });
    const conditions = [{ type: "Complete", status: "True" }];
    this.api.edit(kinds.job.plural, job.metadata.name, { status: { conditions } });
  }

  #agent(word: string, location: string, flags: readonly string[]): object {
    const artifact = this.artifacts.get(location);
    const sha256 = (isDamaged: boolean) => (isDamaged ? "b" : "a").repeat(64);
    const isSound = artifact?.isDamaged !== true;
    const content = { isSound: true, revision: 7, hash: 9, totalKeys: 3, storageVersion: "3.6.0" };
    const fault = { isSound: false, reason: "DigestDiffers", message: "other bytes" };
    switch (word) {
      case "upload":
        if (artifact === undefined) this.artifacts.set(location, { isDamaged: false });
        return {
          artifact: { sizeBytes: 5, sha256: sha256(artifact?.isDamaged === true) },
          verification: isSound ? content : fault,
        };
      case "verify":
        // Of a file that is only declared no sum is known.
        if (location.includes("s3://") && !flags.includes(`--sha256=${sha256(false)}`)) {
          throw new Violation("a known sum is not compared");
        }
        return { verification: isSound ? content : fault };
      case "delete":
        this.artifacts.delete(location);
        return {};
      default:
        throw new Violation(`the agent knows no ${word}`);
    }
  }
}
