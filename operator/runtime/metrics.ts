// The operator's metrics, under the names controllers on Kubernetes commonly use.
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";

export interface OperatorMetrics {
  readonly registry: Registry;
  request(method: string, code: number): void;
  pass(result: string, durationMs: number): void;
  action(kind: string, result: "success" | "error"): void;
}

/** What is read when somebody asks for the metrics. */
export interface MetricSources {
  readonly queueDepth: () => number;
  readonly queueAdds: () => number;
  readonly queueRetries: () => number;
  readonly isLeader: () => boolean;
  /** Seconds since the API server said anything, of every watched kind. */
  readonly watchSilenceSeconds: () => Readonly<Record<string, number>>;
  /** Clusters by name, 1 while Ready. */
  readonly readyClusters: () => readonly {
    readonly namespace: string;
    readonly name: string;
    readonly isReady: boolean;
  }[];
  /** When the first certificate of each side of each cluster ends, in Unix time. */
  readonly certificates: () => readonly {
    readonly namespace: string;
    readonly name: string;
    readonly plane: string;
    readonly expiresAtSeconds: number;
  }[];
}

export function createMetrics(sources: MetricSources): OperatorMetrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const registers = [registry];
  const gauge = (name: string, help: string, read: () => number) =>
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(read());
      },
    });
  gauge("workqueue_depth", "Keys that wait to be worked on.", sources.queueDepth);
  gauge("leader_election_master_status", "1 while this process leads.", () => (sources.isLeader() ? 1 : 0));
  const counted = (name: string, help: string, read: () => number) =>
    new Counter({
      name,
      help,
      registers,
      collect() {
        this.reset();
        this.inc(read());
      },
    });
  counted("workqueue_adds_total", "Keys added to the queue.", sources.queueAdds);
  counted("workqueue_retries_total", "Keys added again after a failure.", sources.queueRetries);
  new Gauge({
    name: "etcdlike_operator_watch_silence_seconds",
    help: "Time since the API server said anything.",
    labelNames: ["kind"],
    registers,
    collect() {
      for (const [kind, seconds] of Object.entries(sources.watchSilenceSeconds()))
        this.set({ kind }, seconds);
    },
  });
  new Gauge({
    name: "etcdlike_cluster_ready",
    help: "1 while the cluster's condition Ready is True.",
    labelNames: ["namespace", "cluster"],
    registers,
    collect() {
      // Clusters that are gone take their series along.
      this.reset();
      for (const { namespace, name, isReady } of sources.readyClusters()) {
        this.set({ namespace, cluster: name }, isReady ? 1 : 0);
      }
    },
  });
  new Gauge({
    name: "etcdlike_operator_certificate_expiry_timestamp_seconds",
    help: "When the first certificate of this side of the cluster ends, in Unix time.",
    labelNames: ["namespace", "cluster", "plane"],
    registers,
    collect() {
      this.reset();
      for (const { namespace, name, plane, expiresAtSeconds } of sources.certificates()) {
        this.set({ namespace, cluster: name, plane }, expiresAtSeconds);
      }
    },
  });
  const requests = new Counter({
    name: "rest_client_requests_total",
    help: "Requests to the API server by method and status code; code 0 had no answer.",
    labelNames: ["method", "code"],
    registers,
  });
  const passes = new Counter({
    name: "controller_runtime_reconcile_total",
    help: "Passes over a cluster by result.",
    labelNames: ["controller", "result"],
    registers,
  });
  const passSeconds = new Histogram({
    name: "controller_runtime_reconcile_time_seconds",
    help: "Duration of passes.",
    labelNames: ["controller"],
    buckets: [0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30],
    registers,
  });
  const actions = new Counter({
    name: "etcdlike_operator_actions_total",
    help: "Actions taken by kind and result.",
    labelNames: ["action", "result"],
    registers,
  });
  const controller = "etcdlikecluster";
  return {
    registry,
    request: (method, code) => requests.inc({ method, code: String(code) }),
    pass(result, durationMs) {
      passes.inc({ controller, result });
      passSeconds.observe({ controller }, durationMs / 1000);
    },
    action: (action, result) => actions.inc({ action, result }),
  };
}
