// Looks at the members' own list all the time, whatever the operator says.
import { setTimeout as sleep } from "node:timers/promises";
import { toolPath } from "../tools/toolchain.ts";
import { endpoints } from "./first-cluster.ts";
import { run } from "./shell.ts";

interface MemberList {
  readonly members: readonly { readonly name?: string; readonly isLearner?: boolean }[];
}

export class Observer {
  readonly clusterIds = new Set<string>();
  /** Voters that were listed together with a learner. */
  readonly besideLearners = new Set<string>();
  /** The most that had joined without being voters that were started. */
  joiningMax = 0;
  /** Of lists that were read. */
  observations = 0;
  #isStopping = false;
  #running: Promise<void> = Promise.resolve();

  start(): void {
    this.#running = this.#observe();
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    await this.#running;
  }

  async #observe(): Promise<void> {
    const etcdctl = await toolPath("etcdctl");
    while (!this.#isStopping) {
      for (const endpoint of await endpoints()) {
        const text = await run(
          etcdctl,
          ...[`--endpoints=${endpoint}`, "--command-timeout=2s", "member", "list", "-w", "json"],
        ).catch(() => "");
        if (text !== "") this.#note(text);
      }
      await sleep(500);
    }
  }

  #note(text: string): void {
    const { members } = JSON.parse(text) as MemberList;
    // As text: the id has more digits than a number.
    this.clusterIds.add(/"cluster_id":(\d+)/.exec(text)?.[1] ?? "");
    const joining = members.filter(({ name = "", isLearner }) => isLearner === true || name === "");
    this.joiningMax = Math.max(this.joiningMax, joining.length);
    if (members.some(({ isLearner }) => isLearner === true)) {
      for (const { name = "", isLearner } of members) if (isLearner !== true) this.besideLearners.add(name);
    }
    this.observations++;
  }
}
