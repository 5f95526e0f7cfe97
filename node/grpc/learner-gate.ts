// What a learner serves: it has no vote and may be far behind, so clients are sent to other members for everything
// but a read that asks for no more than what is there, its status, and a snapshot.

import { apiError } from "../api/errors.ts";
import { never } from "../lib/assert.ts";
import type { RangeRequest } from "../wire/rpc.ts";
import { services } from "../wire/services.ts";
import type { Route } from "./routes.ts";

const servedPaths: ReadonlySet<string> = new Set([
  services.maintenance.status.path,
  services.maintenance.snapshot.path,
]);

/** The same routes, refused while `isLearner` holds. */
export function refusedOnLearners(routes: readonly Route[], isLearner: () => boolean): readonly Route[] {
  return routes.map((route) => (servedPaths.has(route.path) ? route : gated(route, isLearner)));
}

function gated(route: Route, isLearner: () => boolean): Route {
  const isRange = route.path === services.kv.range.path;
  /** `request` is one of a unary call or a server stream. */
  const check = (request: unknown): void => {
    if (!isLearner() || (isRange && (request as RangeRequest).serializable)) return;
    throw apiError("notSupportedForLearner");
  };
  switch (route.kind) {
    case "unary":
      return { ...route, handler: checkedFirst(check, route.handler) };
    case "direct": {
      const { handler } = route;
      // Hot, and so without a list of the other arguments.
      const checked: typeof handler = (request, call, answer) => {
        check(request);
        handler(request, call, answer);
      };
      return { ...route, handler: checked };
    }
    case "serverStream":
      return { ...route, handler: checkedFirst(check, route.handler) };
    case "bidi":
      return { ...route, handler: checkedFirst(check, route.handler) };
    default:
      return never(route);
  }
}

function checkedFirst<Rest extends readonly unknown[], Result>(
  check: (request: unknown) => void,
  handler: (request: never, ...rest: Rest) => Result,
): (request: unknown, ...rest: Rest) => Result {
  return (request, ...rest) => {
    check(request);
    return handler(request as never, ...rest);
  };
}
