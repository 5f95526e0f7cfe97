// Snapshots and schedules: reflectors of their own, a queue of their own. What is done here changes no cluster, so it
// goes on beside whatever is done there.
import { labels } from "../api/group.ts";
import type { KubeClient } from "../kube/client.ts";
import { type KubeObject, kinds, type Resource, resourcePath } from "../kube/objects.ts";
import { must } from "../lib/assert.ts";
import type { Clock, Random } from "../lib/clock.ts";
import type { Logger } from "../lib/log.ts";
import { runController } from "../runtime/controller.ts";
import { Reflector } from "../runtime/reflector.ts";
import { WorkQueue } from "../runtime/work-queue.ts";
import { restorePass, type SnapshotPorts, schedulePass, snapshotPass } from "./pass.ts";

const workers = 2;

export interface SnapshotControllerOptions {
  readonly client: KubeClient;
  /** All of them when empty. */
  readonly namespaces: readonly string[];
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** Copies that others keep already. */
  readonly clusters: () => Iterable<KubeObject>;
}

export interface WatchedKind {
  readonly resource: Resource;
  readonly name: string;
  readonly reflector: Reflector<KubeObject>;
}

const passes: Readonly<Record<string, typeof snapshotPass>> = {
  [kinds.snapshot.plural]: snapshotPass,
  [kinds.schedule.plural]: schedulePass,
  [kinds.restore.plural]: restorePass,
};

export class SnapshotController {
  readonly #options: SnapshotControllerOptions;
  readonly #queue: WorkQueue;
  readonly watched: readonly WatchedKind[];

  constructor(options: SnapshotControllerOptions) {
    const { clock, random, namespaces } = options;
    this.#options = options;
    this.#queue = new WorkQueue({ clock, random });
    const places = namespaces.length === 0 ? [undefined] : namespaces;
    const resources = [kinds.snapshot, kinds.schedule, kinds.restore, kinds.job, kinds.pod];
    this.watched = places.flatMap((namespace) =>
      resources.map((resource) => this.#watch(resource, namespace)),
    );
  }

  /** Until the signal is aborted. The copies are read by then. */
  async run(ports: Omit<SnapshotPorts, "copies" | "clock">, signal: AbortSignal): Promise<void> {
    const { clock, log, clusters } = this.#options;
    const all = (kind: Resource) => () =>
      this.watched
        .filter(({ resource }) => resource.kind === kind.kind)
        .flatMap(({ reflector }) => [...reflector.all()]);
    const copies = {
      clusters,
      snapshots: all(kinds.snapshot),
      schedules: all(kinds.schedule),
      restores: all(kinds.restore),
      jobs: all(kinds.job),
      pods: all(kinds.pod),
    };
    const given: SnapshotPorts = { ...ports, copies, clock };
    await runController(
      {
        queue: this.#queue,
        workers,
        clock,
        log,
        pass: (key) => {
          const [kind = "", namespace = "", name = ""] = key.split("/");
          const pass = must(passes[kind], "a key begins with a kind that is worked on", { key });
          return pass(given, namespace, name);
        },
      },
      signal,
    );
  }

  #watch(resource: Resource, namespace: string | undefined): WatchedKind {
    const { client, clock, random, log } = this.#options;
    const isWorker = resource.kind === kinds.job.kind || resource.kind === kinds.pod.kind;
    const reflector = new Reflector<KubeObject>({
      client,
      path: resourcePath(resource, { namespace }),
      ...(isWorker ? { labelSelector: labels.snapshot } : {}),
      clock,
      random,
      log,
      onChange: ({ before, now }) => {
        const object = now ?? before;
        if (object !== undefined) for (const key of keysOf(resource, object)) this.#queue.add(key);
      },
    });
    const where = namespace === undefined ? "" : ` in ${namespace}`;
    return { resource, name: `${resource.plural}${isWorker ? " of snapshots" : ""}${where}`, reflector };
  }
}

/** PLURAL/NAMESPACE/NAME of what a change concerns. */
function keysOf(resource: Resource, { metadata }: KubeObject): readonly string[] {
  const key = (kind: Resource, name: string) => `${kind.plural}/${metadata.namespace ?? ""}/${name}`;
  if (resource.kind === kinds.schedule.kind) return [key(kinds.schedule, metadata.name)];
  if (resource.kind === kinds.restore.kind) return [key(kinds.restore, metadata.name)];
  if (resource.kind !== kinds.snapshot.kind) {
    const name = metadata.labels?.[labels.snapshot];
    // Whichever of the two it works for.
    return name === undefined ? [] : [key(kinds.snapshot, name), key(kinds.restore, name)];
  }
  const schedule = metadata.labels?.[labels.schedule];
  const own = key(kinds.snapshot, metadata.name);
  return schedule === undefined ? [own] : [own, key(kinds.schedule, schedule)];
}
