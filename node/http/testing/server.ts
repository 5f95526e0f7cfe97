// The HTTP routes of a member that is well, for tests.

import { silentLogger } from "../../lib/log.ts";
import { createHttpServer, type HttpServerOptions, type MemberHttpServer } from "../server.ts";

export function startHttpServer(changes: Partial<HttpServerOptions> = {}): Promise<MemberHttpServer> {
  return createHttpServer({
    kind: "client",
    member: {
      alarms: () => [],
      hasLeader: () => true,
      isLearner: () => false,
      clusterVersion: () => "3.6.0",
      storageVersion: () => "3.6.0",
      probeRead: async () => {},
    },
    log: silentLogger,
    metrics: { health() {}, check() {} },
    scrape: async () => "# metrics\n",
    scrapeContentType: "text/plain",
    corsOrigins: ["*"],
    hostWhitelist: ["*"],
    ...changes,
  });
}
