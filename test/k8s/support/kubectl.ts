// kubectl and helm as a user calls them.
import { spawn } from "node:child_process";
import { kubernetesTool } from "../../tools/kubectl-helm.ts";

export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Cli {
  /** Runs and demands success; returns what it printed. */
  (...args: string[]): Promise<string>;
  /** Runs, whatever comes of it. */
  attempt(...args: string[]): Promise<Outcome>;
  /** With text on its standard input. */
  withInput(input: string, ...args: string[]): Promise<Outcome>;
}

export async function kubectlFor(kubeconfig: string): Promise<Cli> {
  return cli(await kubernetesTool("kubectl"), kubeconfig, []);
}

/** Helm with folders of its own below `home`, so that nothing of the user's is read or written. */
export async function helmFor(kubeconfig: string, home: string): Promise<Cli> {
  return cli(await kubernetesTool("helm"), kubeconfig, [
    ["HELM_CACHE_HOME", `${home}/cache`],
    ["HELM_CONFIG_HOME", `${home}/config`],
    ["HELM_DATA_HOME", `${home}/data`],
  ]);
}

/** Applies objects given as plain data. */
export async function apply(kubectl: Cli, ...objects: readonly object[]): Promise<Outcome> {
  const list = { apiVersion: "v1", kind: "List", items: objects };
  return kubectl.withInput(JSON.stringify(list), "apply", "-f", "-");
}

function cli(path: string, kubeconfig: string, env: readonly (readonly [string, string])[]): Cli {
  const execute = (input: string | undefined, args: readonly string[]): Promise<Outcome> =>
    new Promise((resolve, reject) => {
      const child = spawn(path, args, {
        env: { ...process.env, KUBECONFIG: kubeconfig, ...Object.fromEntries(env) },
        stdio: [input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
      });
      let [stdout, stderr] = ["", ""];
      child.stdout?.on("data", (chunk: Buffer) => {
        stdout += chunk.toString();
      });
      child.stderr?.on("data", (chunk: Buffer) => {
        stderr += chunk.toString();
      });
      child.on("error", reject);
      child.on("close", (code) => resolve({ code: code ?? -1, stdout, stderr }));
      if (input !== undefined) child.stdin?.end(input);
    });
  const run = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await execute(undefined, args);
    if (code !== 0) throw new Error(`${args.join(" ")} exited with ${code}: ${stderr || stdout}`);
    return stdout;
  };
  return Object.assign(run, {
    attempt: (...args: string[]) => execute(undefined, args),
    withInput: (input: string, ...args: string[]) => execute(input, args),
  });
}
