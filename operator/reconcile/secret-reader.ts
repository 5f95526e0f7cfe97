// Secrets that users or cert-manager write. They carry no label to watch them by, so they are asked for by name, and
// an answer serves for a while.
import { isStatus, type KubeClient } from "../kube/client.ts";
import { kinds, resourcePath } from "../kube/objects.ts";
import type { Clock } from "../lib/clock.ts";
import type { Secret } from "./secrets.ts";

const freshMs = 30_000;
const answersMax = 1_000;

export function secretReader(
  client: KubeClient,
  clock: Clock,
): (namespace: string, name: string) => Promise<Secret | undefined> {
  const answers = new Map<string, { readonly atMs: number; readonly secret: Secret }>();
  return async (namespace, name) => {
    const path = resourcePath(kinds.secret, { namespace, name });
    const known = answers.get(path);
    if (known !== undefined && clock.nowMs() - known.atMs < freshMs) return known.secret;
    answers.delete(path);
    try {
      const secret = (await client.request({ method: "GET", path })) as Secret;
      answers.set(path, { atMs: clock.nowMs(), secret });
      for (const oldest of answers.keys()) {
        if (answers.size <= answersMax) break;
        answers.delete(oldest);
      }
      return secret;
    } catch (error) {
      // That it is not there is asked again every time: somebody is about to make it.
      if (isStatus(error, 404)) return undefined;
      throw error;
    }
  };
}
