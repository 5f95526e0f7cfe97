// What the operator knows of its clusters, as gauges. Clusters that are gone take their series along.
import { Gauge, type Registry } from "prom-client";

export interface ClusterFigures {
  readonly namespace: string;
  readonly name: string;
  readonly desiredMembers: number;
  readonly healthyMembers: number;
  readonly conditions: readonly {
    readonly type: string;
    readonly reason: string;
    readonly isTrue: boolean;
  }[];
}

export function registerClusterMetrics(registry: Registry, read: () => readonly ClusterFigures[]): void {
  const registers = [registry];
  const labelNames = ["namespace", "cluster"] as const;
  const perCluster = (name: string, help: string, figureOf: (figures: ClusterFigures) => number) =>
    new Gauge({
      name,
      help,
      labelNames,
      registers,
      collect() {
        this.reset();
        for (const figures of read()) {
          this.set({ namespace: figures.namespace, cluster: figures.name }, figureOf(figures));
        }
      },
    });
  perCluster("etcdlike_cluster_desired_members", "Members that spec asks for.", (one) => one.desiredMembers);
  perCluster("etcdlike_cluster_healthy_members", "Members that are healthy.", (one) => one.healthyMembers);
  new Gauge({
    name: "etcdlike_cluster_condition",
    help: "1 while a condition of the cluster is True, with its reason.",
    labelNames: [...labelNames, "condition", "reason"],
    registers,
    collect() {
      this.reset();
      for (const { namespace, name, conditions } of read()) {
        for (const { type, reason, isTrue } of conditions) {
          this.set({ namespace, cluster: name, condition: type, reason }, isTrue ? 1 : 0);
        }
      }
    },
  });
}
