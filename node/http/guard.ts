// Who may ask at all: a host check against DNS rebinding, what browsers want to know, and every preflight answered.

import type { Logger } from "../lib/log.ts";
import type { TextResponse } from "./health.ts";

export interface GuardOptions {
  /** Metrics listeners are open to all, and say nothing to browsers. */
  readonly kind: "client" | "metrics";
  readonly log: Logger;
  /** "*" allows every one. */
  readonly corsOrigins: readonly string[];
  readonly hostWhitelist: readonly string[];
}

export interface Verdict {
  /** The whole answer; undefined lets the request pass. */
  readonly refusal: TextResponse | undefined;
  /** What every answer carries: names and values in turn. */
  readonly fields: readonly string[];
}

/** `host` may have a port. */
export type Guard = (method: string, host: string, origin: string | undefined) => Verdict;

export function guardOf({ kind, log, corsOrigins, hostWhitelist }: GuardOptions): Guard {
  if (kind === "metrics") return () => ({ refusal: undefined, fields: [] });
  const isAnyHost = hostWhitelist.length === 0 || hostWhitelist.includes("*");
  const isAnyOrigin = corsOrigins.includes("*");
  return (method, host, origin) => {
    const hostname = host.replace(/:\d*$/, "");
    if (!isAnyHost && !hostWhitelist.includes(hostname)) {
      log.warn("refused an HTTP request for a host that is not in --host-whitelist", { host: hostname });
      const body = `host ${JSON.stringify(hostname)} is not allowed\n`;
      return { refusal: { status: 421, body }, fields: [] };
    }
    let fields: readonly string[] = [];
    if (isAnyOrigin) fields = corsFields("*");
    else if (origin !== undefined && corsOrigins.includes(origin)) fields = corsFields(origin);
    return { refusal: method === "OPTIONS" ? { status: 200, body: "" } : undefined, fields };
  };
}

function corsFields(origin: string): readonly string[] {
  return [
    "access-control-allow-methods",
    "POST, GET, OPTIONS, PUT, DELETE",
    "access-control-allow-origin",
    origin,
    "access-control-allow-headers",
    "accept, content-type, authorization",
  ];
}
