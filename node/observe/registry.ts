// Every metric of a member: etcd's names, labels and buckets, and a few of our own.

import { readdirSync, readFileSync } from "node:fs";
import { collectDefaultMetrics, Registry } from "prom-client";
import type { GrpcMetrics } from "../grpc/metrics.ts";
import type { HealthMetrics } from "../http/status-port.ts";
import type { NodeId } from "../lib/ids.ts";
import type { Metrics } from "../lib/metrics.ts";
import { buildVersion, compatibleVersion } from "../lib/version.ts";
import type { PeerMetrics } from "../peer/port.ts";
import { addIdleFamilies, coreMetrics } from "./core-metrics.ts";
import type { Makers } from "./families.ts";
import { grpcMetrics } from "./grpc-metrics.ts";
import { healthMetrics, scrapeMetrics } from "./http-metrics.ts";
import {
  BucketedValue,
  CountedValue,
  counterFamily,
  type Family,
  gaugeFamily,
  histogramFamily,
  type Labels,
  promMetric,
} from "./instruments.ts";
import { peerMetrics } from "./peer-metrics.ts";
import { type StatusReading, statusFamilies } from "./status.ts";

export interface RegistryOptions {
  /** Adds histograms of call durations. */
  readonly isExtensive: boolean;
  readonly features: readonly { readonly name: string; readonly stage: string; readonly isOn: boolean }[];
}

export interface MemberMetrics {
  readonly core: Metrics;
  readonly grpc: GrpcMetrics;
  readonly health: HealthMetrics;
  /** Gauges that are asked for at a scrape; called once, when there is a member to ask. */
  attachStatus(read: () => StatusReading): void;
  /** What the peer adapter reports to; called once, when the member knows its id. */
  attachPeers(local: NodeId): PeerMetrics;
  /** The text of /metrics. */
  scrape(): Promise<string>;
}

export const metricsContentType = "text/plain; version=0.0.4; charset=utf-8";

export function createMetrics({ isExtensive, features }: RegistryOptions): MemberMetrics {
  const families: Family[] = [];
  const makers: Makers = {
    families,
    counter(name, help) {
      const value = new CountedValue();
      families.push(counterFamily(name, help, value));
      return value;
    },
    histogram(name, help, bounds, labels = {}) {
      const value = new BucketedValue(bounds);
      families.push(histogramFamily(name, help, () => [[labels, value]]));
      return value;
    },
  };
  const core = coreMetrics(makers);
  addIdleFamilies(makers);
  families.push(
    labelGauge("etcd_server_version", "The compatible version, as a label.", {
      server_version: compatibleVersion,
    }),
    labelGauge("etcd_server_go_version", "The runtime's version, as a label.", {
      server_go_version: `node${process.version}`,
    }),
    labelGauge("etcdlike_build_info", "The build version, as a label.", { version: buildVersion }),
    gaugeFamily("etcd_server_feature_enabled", "Feature gates, one where on.", () =>
      features.map(({ name, stage, isOn }) => ({ labels: { name, stage }, value: Number(isOn) })),
    ),
    gaugeFamily("os_fd_used", "Open file descriptors.", () => [{ labels: {}, value: openDescriptors() }]),
    gaugeFamily("os_fd_limit", "Limit of open file descriptors.", () => [
      { labels: {}, value: descriptorLimit() },
    ]),
  );
  const grpc = grpcMetrics(makers, isExtensive);
  const health = healthMetrics(makers);
  const scrapes = scrapeMetrics(makers);

  const registry = new Registry();
  for (const family of families) registry.registerMetric(promMetric(family));
  collectDefaultMetrics({ register: registry });

  return {
    core,
    grpc,
    health,
    attachStatus(read) {
      for (const family of statusFamilies(read)) registry.registerMetric(promMetric(family));
    },
    attachPeers(local) {
      const added: Family[] = [];
      const peers = peerMetrics({ families: added }, local);
      for (const family of added) registry.registerMetric(promMetric(family));
      return peers;
    },
    async scrape() {
      scrapes.inFlight += 1;
      try {
        const text = await registry.metrics();
        scrapes.succeeded += 1;
        return text;
      } finally {
        scrapes.inFlight -= 1;
      }
    },
  };
}

function labelGauge(name: string, help: string, labels: Labels): Family {
  return gaugeFamily(name, help, () => [{ labels, value: 1 }]);
}

function openDescriptors(): number {
  return readdirSync("/proc/self/fd").length;
}

function descriptorLimit(): number {
  const line = readFileSync("/proc/self/limits", "utf8").match(/^Max open files\s+(\d+)/m);
  return line === null ? 0 : Number(line[1]);
}
