// What the operator knows of backups, as gauges. What is gone takes its series along.
import { Gauge, type Registry } from "prom-client";

export interface ScheduleFigures {
  readonly namespace: string;
  readonly name: string;
  readonly cluster: string;
  /** Unix time; 0 before the first. */
  readonly lastRunSeconds: number;
  readonly lastSuccessSeconds: number;
}

export interface SnapshotFigures {
  readonly namespace: string;
  readonly name: string;
  readonly cluster: string;
  /** It was verified, and found damaged or gone. */
  readonly isRefuted: boolean;
}

export function registerSnapshotMetrics(
  registry: Registry,
  schedules: () => readonly ScheduleFigures[],
  snapshots: () => readonly SnapshotFigures[],
): void {
  const registers = [registry];
  const perSchedule = (name: string, help: string, figureOf: (figures: ScheduleFigures) => number) =>
    new Gauge({
      name,
      help,
      labelNames: ["namespace", "schedule", "cluster"],
      registers,
      collect() {
        this.reset();
        for (const one of schedules()) {
          this.set({ namespace: one.namespace, schedule: one.name, cluster: one.cluster }, figureOf(one));
        }
      },
    });
  perSchedule(
    "etcdlike_snapshot_schedule_last_run_timestamp_seconds",
    "When a snapshot was last due; 0 before the first.",
    (one) => one.lastRunSeconds,
  );
  perSchedule(
    "etcdlike_snapshot_schedule_last_success_timestamp_seconds",
    "When a snapshot was last stored; 0 before the first.",
    (one) => one.lastSuccessSeconds,
  );
  new Gauge({
    name: "etcdlike_snapshot_refuted",
    help: "1 for a snapshot that its verification found damaged.",
    labelNames: ["namespace", "snapshot", "cluster"],
    registers,
    collect() {
      this.reset();
      for (const { namespace, name, cluster, isRefuted } of snapshots()) {
        this.set({ namespace, snapshot: name, cluster }, isRefuted ? 1 : 0);
      }
    },
  });
}
