// /livez, /readyz and /metrics.
import { createServer, type Server } from "node:http";
import type { Registry } from "prom-client";

export interface Check {
  readonly name: string;
  /** Undefined when all is well, else what is wrong. */
  readonly problem: () => string | undefined;
}

export interface HttpServerOptions {
  readonly port: number;
  readonly host: string;
  readonly registry: Registry;
  readonly live: readonly Check[];
  readonly ready: readonly Check[];
}

/** Listens; resolves with the server and the port it got. */
export function startHttpServer(
  options: HttpServerOptions,
): Promise<{ readonly server: Server; readonly port: number }> {
  const server = createServer({ requestTimeout: 10_000 }, (request, response) => {
    const path = (request.url ?? "").split("?")[0];
    if (request.method !== "GET") {
      response.writeHead(405, { allow: "GET" }).end();
    } else if (path === "/metrics") {
      options.registry.metrics().then(
        (text) => response.writeHead(200, { "content-type": options.registry.contentType }).end(text),
        (error: unknown) => response.writeHead(500).end(String(error)),
      );
    } else if (path === "/livez" || path === "/readyz") {
      const checks = path === "/livez" ? options.live : options.ready;
      const lines = checks.map(({ name, problem }) => ({ name, problem: problem() }));
      const isWell = lines.every((line) => line.problem === undefined);
      response
        .writeHead(isWell ? 200 : 503, { "content-type": "text/plain" })
        .end(
          lines
            .map(
              (line) => `[${line.problem === undefined ? "+" : "-"}]${line.name} ${line.problem ?? "ok"}\n`,
            )
            .join(""),
        );
    } else {
      response.writeHead(404).end();
    }
  });
  return new Promise((resolve, reject) => {
    server.on("error", reject);
    server.listen(options.port, options.host, () => {
      const address = server.address();
      resolve({
        server,
        port: typeof address === "object" && address !== null ? address.port : options.port,
      });
    });
  });
}
