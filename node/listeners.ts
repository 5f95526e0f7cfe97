// The sockets clients connect to: which address serves what, as the listen flags say.

import type { MemberConfig } from "./cli/config.ts";
import type { EndpointUrl } from "./cli/values.ts";
import { ClientPort, type ClientPortOptions } from "./grpc/client-port.ts";
import type { GrpcServer } from "./grpc/server.ts";
import type { MemberHttpServer } from "./http/server.ts";
import type { Logger } from "./lib/log.ts";
import { addressOf, hasTls, listenError } from "./listen-address.ts";
import type { Credentials } from "./tls/credentials.ts";
import { createTlsServer } from "./tls/server.ts";

export interface ListenerServers {
  readonly grpc: GrpcServer;
  readonly http: MemberHttpServer;
  /** Serves --listen-metrics-urls. */
  readonly metrics: MemberHttpServer;
  /** For https and unixs URLs; undefined without a certificate. */
  readonly tls: Credentials | undefined;
}

export interface Listeners {
  /** Accepts no more connections; those accepted belong to the servers. */
  close(): void;
}

/** Opens every client and metrics listener, or none: fails with the first address that cannot be bound. */
export async function openListeners(
  config: MemberConfig,
  { grpc, http, metrics, tls }: ListenerServers,
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
      const isSecure = hasTls(url);
      if (isSecure && tls === undefined) {
        throw new Error(
          `TLS key/cert (--cert-file, --key-file) must be provided for client url ${url.text} with HTTPS scheme`,
        );
      }
      if (!isSecure && tls !== undefined) {
        log.warn("scheme is http or unix while key and cert files are present; ignoring key and cert files", {
          "client-url": url.text,
        });
      }
      open.push(
        await bind(url, isSecure && tls !== undefined ? { ...options, ...secured(tls, log) } : options),
      );
      const address = url.port === 0 ? url.host : `${url.host}:${open.at(-1)?.port}`;
      const text = isSecure
        ? "serving client traffic securely"
        : "serving client traffic insecurely; this is strongly discouraged!";
      log.info(text, { traffic, address });
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

function secured(credentials: Credentials, log: Logger): Pick<ClientPortOptions, "createServer"> {
  return {
    createServer: (protocols, onConnection) => createTlsServer({ credentials, protocols, log, onConnection }),
  };
}

async function bind(url: EndpointUrl, options: ClientPortOptions): Promise<ClientPort> {
  try {
    return await ClientPort.open(addressOf(url), options);
  } catch (error) {
    throw listenError(url, error);
  }
}
