// What the HTTP side counts: health requests, their checks, and scrapes.

import type { HealthMetrics } from "../http/status-port.ts";
import type { Makers } from "./families.ts";
import { gaugeFamily, type Labels } from "./instruments.ts";

export function healthMetrics({ families, counter }: Makers): HealthMetrics {
  const successes = counter("etcd_server_health_success", "Health requests answered with true.");
  const failures = counter("etcd_server_health_failures", "Health requests answered with false.");
  const results = new Map<
    string,
    { readonly labels: Labels; isOk: boolean; passed: number; failed: number }
  >();
  families.push(
    gaugeFamily("etcd_server_healthcheck", "Last result of each check.", () =>
      [...results.values()].map(({ labels, isOk }) => ({ labels, value: Number(isOk) })),
    ),
    {
      name: "etcd_server_healthchecks_total",
      help: "Results of each check.",
      type: "counter",
      samples: () =>
        [...results.values()].flatMap(({ labels, passed, failed }) =>
          [
            { labels: { ...labels, status: "success" }, value: passed },
            { labels: { ...labels, status: "error" }, value: failed },
          ].filter(({ value }) => value > 0),
        ),
    },
  );
  return {
    health(isHealthy) {
      (isHealthy ? successes : failures).increment();
    },
    check(type, name, isOk) {
      const key = `${type} ${name}`;
      const result = results.get(key) ?? { labels: { type, name }, isOk, passed: 0, failed: 0 };
      result.isOk = isOk;
      if (isOk) result.passed += 1;
      else result.failed += 1;
      results.set(key, result);
    },
  };
}

export function scrapeMetrics({ families }: Makers): { inFlight: number; succeeded: number } {
  const state = { inFlight: 0, succeeded: 0 };
  families.push(
    gaugeFamily("promhttp_metric_handler_requests_in_flight", "Scrapes being served.", () => [
      { labels: {}, value: state.inFlight },
    ]),
    {
      name: "promhttp_metric_handler_requests_total",
      help: "Scrapes by HTTP status.",
      type: "counter",
      samples: () => [
        { labels: { code: "200" }, value: state.succeeded },
        { labels: { code: "500" }, value: 0 },
        { labels: { code: "503" }, value: 0 },
      ],
    },
  );
  return state;
}
