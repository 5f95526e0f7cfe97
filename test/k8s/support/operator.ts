// The operator as a process of its own, with the rights of whoever the kubeconfig names.
import { join } from "node:path";
import { freePort } from "../../e2e/support/scratch.ts";
import { type Background, startInBackground } from "../../tools/background.ts";
import type { ControlPlane } from "./control-plane.ts";
import { eventually } from "./eventually.ts";

export interface RunningOperator extends Background {
  /** Where it serves /metrics, /livez and /readyz. */
  readonly url: string;
}

/** Started, and with a copy of everything it watches. */
export async function startOperator(
  bed: ControlPlane,
  flags: readonly string[] = [],
): Promise<RunningOperator> {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const main = join(import.meta.dirname, "..", "..", "..", "operator", "main.ts");
  const started = startInBackground(process.execPath, [main, `--listen=127.0.0.1:${port}`, ...flags], {
    logFile: join(bed.folder, "operator.log"),
    env: { KUBECONFIG: bed.adminKubeconfig },
  });
  await eventually("the operator is ready", async () => {
    if (!started.isRunning()) throw new Error(`the operator ended:\n${started.tail()}`);
    const answer = await fetch(`${url}/readyz`).catch(() => undefined);
    return answer?.status === 200;
  });
  return { ...started, url };
}
