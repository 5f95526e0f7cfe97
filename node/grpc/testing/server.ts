// A gRPC server for tests: of a member with a leader, and quiet but for what a test sets.

import { Readable } from "node:stream";
import { silentLogger } from "../../lib/log.ts";
import { silentGrpcMetrics } from "../metrics.ts";
import { GrpcServer, type GrpcServerOptions } from "../server.ts";

type Wanted = Pick<GrpcServerOptions, "routes" | "onUnexpected">;

export function startGrpcServer(options: Wanted & Partial<GrpcServerOptions>): GrpcServer {
  return new GrpcServer({
    leader: { hasLeader: () => true, onLeaderLost: () => () => {} },
    metrics: silentGrpcMetrics,
    log: silentLogger,
    http: async () => ({ status: 404, fields: [], body: Readable.from([]) }),
    maxRequestBytes: 1024 * 1024,
    maxConcurrentStreams: 100,
    keepaliveIntervalMs: 0,
    keepaliveTimeoutMs: 0,
    keepaliveMinTimeMs: 5000,
    warningUnaryRequestDurationMs: 300,
    ...options,
  });
}
