// Counters of every gRPC method and code, there from the start: dashboards tell zero from absent.

import { type ErrorCode, errorCodes } from "../api/errors.ts";
import type { GrpcMetrics, MethodMetrics } from "../grpc/metrics.ts";
import { type MethodKind, methods } from "../wire/services.ts";
import type { Makers } from "./families.ts";
import { BucketedValue, CountedValue, type Family, histogramFamily, type Labels } from "./instruments.ts";

const callSeconds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

const grpcTypes: Readonly<Record<MethodKind, string>> = {
  unary: "unary",
  serverStream: "server_stream",
  clientStream: "client_stream",
  bidi: "bidi_stream",
};

/** etcd leaves the lock and election services out of these. */
const unmeasured = new Set(["v3lockpb.Lock", "v3electionpb.Election"]);

/** Client versions told apart; beyond, they count as "unknown", since a client can send any text. */
const clientVersionsMax = 100;

class MethodCounts implements MethodMetrics {
  readonly labels: Labels;
  readonly handledByCode = new Float64Array(errorCodes.length);
  readonly seconds = new BucketedValue(callSeconds);
  startedTotal = 0;
  receivedTotal = 0;
  sentTotal = 0;
  readonly #bytes: { readonly received: CountedValue; readonly sent: CountedValue };

  constructor(labels: Labels, bytes: { readonly received: CountedValue; readonly sent: CountedValue }) {
    this.labels = labels;
    this.#bytes = bytes;
  }

  started(): void {
    this.startedTotal += 1;
  }

  handled(code: ErrorCode, seconds: number): void {
    const position = errorCodes.indexOf(code);
    this.handledByCode[position] = (this.handledByCode[position] as number) + 1;
    this.seconds.observe(seconds);
  }

  received(messageBytes: number): void {
    this.receivedTotal += 1;
    this.#bytes.received.increment(messageBytes);
  }

  sent(messageBytes: number): void {
    this.sentTotal += 1;
    this.#bytes.sent.increment(messageBytes);
  }
}

export function grpcMetrics({ families, counter }: Makers, isExtensive: boolean): GrpcMetrics {
  const bytes = {
    received: counter("etcd_network_client_grpc_received_bytes_total", "Bytes received from gRPC clients."),
    sent: counter("etcd_network_client_grpc_sent_bytes_total", "Bytes sent to gRPC clients."),
  };
  const all = methods.map((method) => {
    const labels = {
      grpc_type: grpcTypes[method.kind],
      grpc_service: method.service,
      grpc_method: method.name,
    };
    return { method, counts: new MethodCounts(labels, bytes) };
  });
  const byPath = new Map(all.map(({ method, counts }) => [method.path, counts]));
  const measured = all.filter(({ method }) => !unmeasured.has(method.service)).map(({ counts }) => counts);
  const total = (name: string, help: string, value: (counts: MethodCounts) => number): Family => ({
    name,
    help,
    type: "counter",
    samples: () => measured.map((counts) => ({ labels: counts.labels, value: value(counts) })),
  });
  families.push(
    total("grpc_server_started_total", "Calls started.", (counts) => counts.startedTotal),
    total("grpc_server_msg_received_total", "Messages received.", (counts) => counts.receivedTotal),
    total("grpc_server_msg_sent_total", "Messages sent.", (counts) => counts.sentTotal),
    {
      name: "grpc_server_handled_total",
      help: "Calls ended, by code.",
      type: "counter",
      samples: () =>
        measured.flatMap((counts) =>
          errorCodes.map((code, i) => ({
            labels: { ...counts.labels, grpc_code: code },
            value: counts.handledByCode[i] as number,
          })),
        ),
    },
  );
  if (isExtensive) {
    families.push(
      histogramFamily("grpc_server_handling_seconds", "Time from start to end of a call.", () =>
        measured.map((counts) => [counts.labels, counts.seconds] as const),
      ),
    );
  }
  const clients = new Map<string, Labels & { type: string }>();
  const clientTotals = new Map<string, CountedValue>();
  let last: { readonly type: string; readonly version: string; readonly value: CountedValue } | undefined;
  families.push({
    name: "etcd_server_client_requests_total",
    help: "Requests by the version of the client.",
    type: "counter",
    samples: () =>
      [...clientTotals].map(([key, value]) => ({ labels: clients.get(key) ?? {}, value: value.value })),
  });
  return {
    method(path) {
      const counts = byPath.get(path);
      if (counts === undefined) throw new Error(`no such method: ${path}`);
      return counts;
    },
    clientRequest(type, version) {
      // Hot: most calls are like the one before.
      if (last !== undefined && last.type === type && last.version === version) {
        last.value.increment();
        return;
      }
      let key = `${type} ${version}`;
      let value = clientTotals.get(key);
      if (value === undefined) {
        const known = clientTotals.size < clientVersionsMax ? version : "unknown";
        key = `${type} ${known}`;
        value = clientTotals.get(key) ?? new CountedValue();
        clientTotals.set(key, value);
        clients.set(key, { type, client_api_version: known });
      }
      last = { type, version, value };
      value.increment();
    },
  };
}
