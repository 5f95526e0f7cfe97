// The member's gRPC and HTTP servers behind a TLS listener, with a certificate made for the run.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer } from "node:tls";
import { silentGrpcMetrics } from "../../node/grpc/metrics.ts";
import { unary } from "../../node/grpc/routes.ts";
import { GrpcServer } from "../../node/grpc/server.ts";
import { createHttpServer } from "../../node/http/server.ts";
import { silentLogger } from "../../node/lib/log.ts";
import { services } from "../../node/wire/services.ts";

export interface TlsServer {
  readonly port: number;
  stop(): Promise<void>;
}

export async function startTls(): Promise<TlsServer> {
  const http = await createHttpServer({
    kind: "client",
    member: {
      alarms: () => [],
      hasLeader: () => true,
      isLearner: () => false,
      probeRead: async () => {},
      clusterVersion: () => "3.6.0",
      storageVersion: () => "3.6.0",
    },
    log: silentLogger,
    metrics: { health() {}, check() {} },
    scrape: async () => "",
    scrapeContentType: "text/plain",
    corsOrigins: ["*"],
    hostWhitelist: ["*"],
  });
  const grpc = new GrpcServer({
    routes: [unary(services.kv.range, () => ({ header: undefined, kvs: [], more: false, count: 0 }))],
    leader: { hasLeader: () => true, onLeaderLost: () => () => {} },
    metrics: silentGrpcMetrics,
    log: silentLogger,
    http: (request) => http.inject(request),
    onUnexpected(error) {
      throw error;
    },
    maxRequestBytes: 1024 * 1024,
    maxConcurrentStreams: 100,
    keepaliveIntervalMs: 0,
    keepaliveTimeoutMs: 0,
    keepaliveMinTimeMs: 5000,
    warningUnaryRequestDurationMs: 300,
  });
  const server = createServer({ ...selfSigned(), ALPNProtocols: ["h2"], noDelay: true }, (socket) =>
    grpc.serve(socket),
  );
  server.on("tlsClientError", () => {});
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    async stop() {
      server.close();
      await Promise.all([grpc.stop(500), http.stop(500)]);
    },
  };
}

function selfSigned(): { readonly key: Buffer; readonly cert: Buffer } {
  const folder = mkdtempSync(join(tmpdir(), "etcdlike-tls-"));
  const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")];
  try {
    const kind = [
      "-x509",
      "-newkey",
      "ec",
      "-pkeyopt",
      "ec_paramgen_curve:prime256v1",
      "-nodes",
      "-days",
      "2",
    ];
    execFileSync("openssl", ["req", ...kind, "-subj", "/CN=localhost", "-keyout", key, "-out", cert], {
      stdio: "ignore",
    });
    return { key: readFileSync(key), cert: readFileSync(cert) };
  } finally {
    rmSync(folder, { recursive: true });
  }
}
