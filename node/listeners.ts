// The sockets clients connect to: which address serves what, as the listen flags say.

import type { MemberConfig } from "./cli/config.ts";
import type { EndpointUrl } from "./cli/values.ts";
import { ClientPort, type ClientPortOptions } from "./grpc/client-port.ts";
import type { GrpcServer } from "./grpc/server.ts";
import type { MemberHttpServer } from "./http/server.ts";
import type { Logger } from "./lib/log.ts";
import { addressOf, listenError } from "./listen-address.ts";

export interface ListenerServers {
  readonly grpc: GrpcServer;
  readonly http: MemberHttpServer;
  /** Serves --listen-metrics-urls. */
  readonly metrics: MemberHttpServer;
}

export interface Listeners {
  /** Accepts no more connections; those accepted belong to the servers. */
  close(): void;
}

/** Opens every client and metrics listener, or none: fails with the first address that cannot be bound. */
export async function openListeners(
  config: MemberConfig,
  { grpc, http, metrics }: ListenerServers,
  log: Logger,
): Promise<Listeners> {
  const isSplit = config.listenClientHttpUrls.length > 0;
  const common = {
    isPortReused: config.socketReusePort,
    onAcceptError: (error: Error) => log.warn("cannot accept a connection", { error }),
  };
  const serveGrpc: ClientPortOptions["http2"] = (socket) => grpc.serve(socket);
  const serveHttp: ClientPortOptions["http1"] = (socket) => http.serve(socket);
  const serveMetrics: ClientPortOptions["http1"] = (socket) => metrics.serve(socket);
  const plan: (readonly [EndpointUrl, string, ClientPortOptions])[] = [
    ...config.listenClientUrls.map(
      (url) =>
        [
          url,
          isSplit ? "grpc" : "grpc+http",
          { http2: serveGrpc, http1: isSplit ? undefined : serveHttp, ...common },
        ] as const,
    ),
    ...config.listenClientHttpUrls.map(
      (url) => [url, "http", { http2: undefined, http1: serveHttp, ...common }] as const,
    ),
    ...config.listenMetricsUrls.map(
      (url) => [url, "metrics", { http2: undefined, http1: serveMetrics, ...common }] as const,
    ),
  ];
  const open: ClientPort[] = [];
  try {
    for (const [url, traffic, options] of plan) {
      open.push(await bind(url, options));
      log.info("serving client traffic insecurely; this is strongly discouraged!", {
        traffic,
        address: url.scheme === "unix" ? url.host : `${url.host}:${open.at(-1)?.port}`,
      });
    }
  } catch (error) {
    for (const port of open) port.close();
    throw error;
  }
  return {
    close() {
      for (const port of open) port.close();
    },
  };
}

async function bind(url: EndpointUrl, options: ClientPortOptions): Promise<ClientPort> {
  try {
    return await ClientPort.open(addressOf(url), options);
  } catch (error) {
    throw listenError(url, error);
  }
}
