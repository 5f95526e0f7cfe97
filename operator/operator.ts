// Everything put together: reflectors fill copies and a queue, the leader's workers pass over clusters.
import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import type { KubeConfig } from "@kubernetes/client-node";
import { group, labels, resources, schemaRevision, schemaRevisionAnnotation } from "./api/group.ts";
import { clusterFigures, scheduleFigures, snapshotFigures } from "./figures.ts";
import type { KubeClient } from "./kube/client.ts";
import { type KubeObject, kinds, type Resource, resourcePath } from "./kube/objects.ts";
import { createTransport } from "./kube/transport.ts";
import { describeError, type Logger } from "./lib/log.ts";
import { realClock } from "./lib/real-clock.ts";
import { GrpcMembers } from "./member/grpc-members.ts";
import type { Cluster } from "./model/objects.ts";
import type { Schedule, Snapshot } from "./model/snapshot-objects.ts";
import { createPki } from "./pki/issuer.ts";
import { type PassPorts, pass } from "./reconcile/pass.ts";
import {
  clusterKeyOf,
  isReferring,
  ownedKinds,
  readCopies,
  readFresh,
  referringKinds,
} from "./reconcile/readers.ts";
import { secretReader } from "./reconcile/secret-reader.ts";
import { registerClusterMetrics } from "./runtime/cluster-metrics.ts";
import { runController } from "./runtime/controller.ts";
import { EventRecorder } from "./runtime/events.ts";
import { fencedClient } from "./runtime/fenced-client.ts";
import { startHttpServer } from "./runtime/http-server.ts";
import { LeaderElection } from "./runtime/leader-election.ts";
import { createMetrics } from "./runtime/metrics.ts";
import { Reflector } from "./runtime/reflector.ts";
import { registerSnapshotMetrics } from "./runtime/snapshot-metrics.ts";
import { WorkQueue } from "./runtime/work-queue.ts";
import type { OperatorSettings } from "./settings.ts";
import { SnapshotController } from "./snapshots/controller.ts";

/** Longer silence of a watch than its watchdog allows means that the process is not well. */
const silenceMaxMs = 300_000;
const definitionPauseMs = 5_000;

interface Watched {
  readonly resource: Resource;
  readonly name: string;
  readonly reflector: Reflector<KubeObject>;
}

/** Runs until the signal is aborted ("stopped") or leadership is lost ("lost"). */
export async function runOperator(
  settings: OperatorSettings,
  config: KubeConfig,
  log: Logger,
  signal: AbortSignal,
): Promise<"stopped" | "lost"> {
  const clock = realClock;
  const queue = new WorkQueue({ clock, random: Math.random });
  const watched: Watched[] = [];
  const metrics = createMetrics({
    queueDepth: () => queue.depth,
    queueAdds: () => queue.adds,
    queueRetries: () => queue.retries,
    isLeader: () => election.mayAct,
    watchSilenceSeconds: () =>
      Object.fromEntries(watched.map(({ name, reflector }) => [name, reflector.silenceMs / 1000])),
    readyClusters: () => readyClusters(watched),
    certificates: () => certificatesOf(watched),
  });
  registerClusterMetrics(metrics.registry, () => clustersOf(watched).map(clusterFigures));
  registerSnapshotMetrics(
    metrics.registry,
    () => objectsOf<Schedule>(watched, kinds.schedule).map(scheduleFigures),
    () => objectsOf<Snapshot>(watched, kinds.snapshot).map(snapshotFigures),
  );
  const client = createTransport(config, { userAgent: "etcdlike-operator", onAnswer: metrics.request });
  const identity = `${hostname()}_${randomUUID()}`;
  const election = new LeaderElection({
    client,
    clock,
    log,
    namespace: settings.leaseNamespace,
    name: settings.leaseName,
    identity,
  });
  for (const namespace of settings.namespaces.length === 0 ? [undefined] : settings.namespaces) {
    for (const resource of [kinds.cluster, ...ownedKinds, ...referringKinds]) {
      watched.push(watchedOf({ client, queue, log, namespace, resource }));
    }
  }

  const snapshots = new SnapshotController({
    client,
    namespaces: settings.namespaces,
    clock,
    random: Math.random,
    log,
    clusters: () =>
      watched
        .filter(({ resource }) => resource.kind === kinds.cluster.kind)
        .flatMap(({ reflector }) => [...reflector.all()]),
  });
  watched.push(...snapshots.watched);

  const ended = new AbortController();
  const end = () => ended.abort();
  signal.addEventListener("abort", end, { once: true });
  if (signal.aborted) end();
  const { server } = await startHttpServer({
    host: settings.listenHost,
    port: settings.listenPort,
    registry: metrics.registry,
    live: [{ name: "watches", problem: () => silentWatch(watched) }],
    ready: [{ name: "copies", problem: () => missingCopy(watched) }],
  });
  const reflecting = watched.map(({ reflector }) => reflector.run(ended.signal));
  const members = new GrpcMembers();
  let outcome: "stopped" | "lost" = "stopped";
  try {
    await checkDefinitions(client, log, ended.signal);
    if (await election.acquire(ended.signal)) {
      log.info("leading", { identity, namespaces: settings.namespaces });
      const keeping = election.keep(ended.signal).then((how) => {
        outcome = how;
        end();
      });
      await synced(watched, ended.signal);
      const fenced = fencedClient(client, election);
      const recorder = new EventRecorder({
        client: fenced,
        clock,
        log,
        component: "etcdlike-operator",
        instance: identity,
      });
      const memberSettings = { memberImageRepository: settings.memberImageRepository };
      const ports: PassPorts = {
        client: fenced,
        members,
        pki: createPki(),
        readSecret: secretReader(client, clock),
        clock,
        holder: identity,
        settings: memberSettings,
        readCached: (namespace, name) => readCopies(copiesOf(watched), namespace, name),
        readFresh: (namespace, name) => readFresh(client, namespace, name),
        tell: (cluster, event) => void recorder.tell(kinds.cluster, cluster, event),
        onAction: (kind, result) => {
          metrics.action(kind, result);
          log.info("action", { kind, result });
        },
      };
      const takingSnapshots = snapshots.run(
        {
          client: fenced,
          settings: memberSettings,
          tell: (resource, about, event) => void recorder.tell(resource, about, event),
        },
        ended.signal,
      );
      await runController(
        {
          queue,
          workers: settings.workers,
          clock,
          log,
          onPass: metrics.pass,
          pass: (key) => {
            const [namespace = "", name = ""] = key.split("/");
            return pass(ports, namespace, name);
          },
        },
        ended.signal,
      );
      await Promise.all([keeping, takingSnapshots]);
    }
  } finally {
    end();
    await Promise.all(reflecting);
    await election.release();
    members.close();
    server.close();
    server.closeAllConnections();
  }
  return outcome;
}

function watchedOf(of: {
  readonly client: KubeClient;
  readonly queue: WorkQueue;
  readonly log: Logger;
  readonly namespace: string | undefined;
  readonly resource: Resource;
}): Watched {
  const { client, queue, log, namespace, resource } = of;
  const reflector = new Reflector<KubeObject>({
    client,
    path: resourcePath(resource, { namespace }),
    ...(resource.kind === kinds.cluster.kind || isReferring(resource)
      ? {}
      : { labelSelector: labels.cluster }),
    clock: realClock,
    random: Math.random,
    log,
    onChange: ({ before, now }) => {
      const object = now ?? before;
      const key = object === undefined ? undefined : clusterKeyOf(resource, object);
      if (key !== undefined) queue.add(key);
    },
  });
  return {
    resource,
    name: `${resource.plural}${namespace === undefined ? "" : ` in ${namespace}`}`,
    reflector,
  };
}

function copiesOf(watched: readonly Watched[]) {
  return watched.map(({ resource, reflector }) => ({ resource, all: () => reflector.all() }));
}

function missingCopy(watched: readonly Watched[]): string | undefined {
  const missing = watched.filter(({ reflector }) => !reflector.hasSynced).map(({ name }) => name);
  return missing.length === 0 ? undefined : `not read yet: ${missing.join(", ")}`;
}

function silentWatch(watched: readonly Watched[]): string | undefined {
  const silent = watched.filter(({ reflector }) => reflector.hasSynced && reflector.silenceMs > silenceMaxMs);
  return silent.length === 0 ? undefined : `silent: ${silent.map(({ name }) => name).join(", ")}`;
}

async function synced(watched: readonly Watched[], signal: AbortSignal): Promise<void> {
  while (!signal.aborted && missingCopy(watched) !== undefined) {
    await new Promise<void>((resolve) => void realClock.after(50, resolve));
  }
}

function objectsOf<T>(watched: readonly Watched[], { kind }: Resource): readonly T[] {
  return watched
    .filter(({ resource }) => resource.kind === kind)
    .flatMap(({ reflector }) => [...reflector.all()] as unknown as T[]);
}

function clustersOf(watched: readonly Watched[]): readonly Cluster[] {
  return objectsOf<Cluster>(watched, kinds.cluster);
}

function certificatesOf(watched: readonly Watched[]) {
  return clustersOf(watched).flatMap(({ metadata: { namespace, name }, status }) =>
    (status?.certificates ?? []).flatMap(({ plane, expiresAt }) =>
      expiresAt === undefined
        ? []
        : [{ namespace, name, plane, expiresAtSeconds: Date.parse(expiresAt) / 1_000 }],
    ),
  );
}

function readyClusters(watched: readonly Watched[]) {
  return clustersOf(watched).map(({ metadata, status }) => ({
    namespace: metadata.namespace,
    name: metadata.name,
    isReady: status?.conditions?.some((one) => one.type === "Ready" && one.status === "True") === true,
  }));
}

/** Waits until the API server holds definitions that keep every field this operator writes. */
async function checkDefinitions(client: KubeClient, log: Logger, signal: AbortSignal): Promise<void> {
  for (const { plural } of Object.values(resources)) {
    const name = `${plural}.${group}`;
    while (!signal.aborted) {
      const problem = await definitionProblem(client, name);
      if (problem === undefined) break;
      log.error("the custom resource definitions do not fit this operator", { definition: name, problem });
      await new Promise<void>((resolve) => void realClock.after(definitionPauseMs, resolve));
    }
  }
}

async function definitionProblem(client: KubeClient, name: string): Promise<string | undefined> {
  try {
    const definition = (await client.request({
      method: "GET",
      path: resourcePath(kinds.definition, { name }),
    })) as KubeObject;
    const revision = Number(definition.metadata.annotations?.[schemaRevisionAnnotation]);
    if (revision >= schemaRevision) return undefined;
    return `its schema revision is ${revision}, at least ${schemaRevision} is needed`;
  } catch (error) {
    return describeError(error);
  }
}
