// Runs the script of etcdctl commands against both kinds of member on the same ports and compares the output.
import { spawn } from "node:child_process";
import { debianTool } from "../../tools/debian.ts";
import { type Member, type MemberKind, start } from "../../tools/member.ts";
import { toolPath } from "../../tools/toolchain.ts";
import { maskText, printTextMask } from "./mask.ts";
import { type Step, script } from "./script.ts";

interface Shown {
  readonly command: string;
  readonly text: string;
}

const watchAttachMs = 700;
const watchTimeoutMs = 5_000;
const commandTimeoutMs = 20_000;

type Report = (ok: boolean, name: string) => void;

export async function runEtcdctl(subjectKind: MemberKind, report: Report): Promise<void> {
  printTextMask();
  for (const version of ["3.6", "3.4"] as const) {
    const program = version === "3.6" ? await toolPath("etcdctl") : await debianTool("etcdctl-3.4");
    const reference = await start({ kind: "etcd" });
    const expected = await new Session(program, reference)
      .runAll(script(version))
      .finally(() => reference.stop());
    const subject = await start({ kind: subjectKind, ports: reference.ports });
    const got = await new Session(program, subject).runAll(script(version)).finally(() => subject.stop());
    let equal = 0;
    for (const [i, { command, text }] of expected.entries()) {
      const other = got[i]?.text ?? "";
      if (text === other) equal++;
      else report(false, `etcdctl ${version}: ${command}\n${firstDifference(text, other)}`);
    }
    report(equal === expected.length, `etcdctl ${version}: ${equal} of ${expected.length} outputs are equal`);
  }
}

function firstDifference(expected: string, got: string): string {
  const [a, b] = [expected.split("\n"), got.split("\n")];
  const line = a.findIndex((text, i) => text !== b[i]);
  const at = line === -1 ? a.length : line;
  return `       line ${at + 1}: expected ${JSON.stringify(a[at])}\n               got      ${JSON.stringify(b[at])}`;
}

class Session {
  readonly #program: string;
  readonly #endpoint: string;
  /** Lease ids by the name the script gave them, in hexadecimal. */
  readonly #leases = new Map<string, string>();
  readonly #shown: Shown[] = [];

  constructor(program: string, member: Member) {
    this.#program = program;
    this.#endpoint = member.endpoint;
  }

  async runAll(steps: readonly Step[]): Promise<readonly Shown[]> {
    for (const step of steps) await this.#run(step);
    return this.#shown;
  }

  async #run(step: Step): Promise<void> {
    if (step.kind === "watch") return this.#watch(step);
    if (step.kind === "grant") return this.#grant(step.name, step.seconds);
    const args = step.args.map((arg) => this.#withLeases(arg));
    const { text } = await this.#etcdctl(args, step.stdin).done;
    this.#show(step.args.join(" "), text);
  }

  async #grant(name: string, seconds: number): Promise<void> {
    const { text } = await this.#etcdctl(["lease", "grant", String(seconds)]).done;
    this.#leases.set(name, /lease ([0-9a-f]+) granted/.exec(text)?.[1] ?? "no lease");
    this.#show(`lease grant ${seconds}`, text);
  }

  async #watch({ args, during, lines }: Extract<Step, { kind: "watch" }>): Promise<void> {
    const watch = this.#etcdctl(args);
    await new Promise((resolve) => setTimeout(resolve, watchAttachMs));
    for (const step of during) await this.#run(step);
    const end = performance.now() + watchTimeoutMs;
    while (watch.lineCount() < lines && performance.now() < end && !watch.hasEnded())
      await new Promise((resolve) => setTimeout(resolve, 20));
    watch.interrupt();
    const { text } = await watch.done;
    this.#show(args.join(" "), text);
  }

  #show(command: string, text: string): void {
    let shown = maskText(text, command);
    for (const [name, hex] of this.#leases) {
      const decimal = hex === "no lease" ? hex : BigInt.asIntN(64, BigInt(`0x${hex}`)).toString();
      shown = shown.replaceAll(hex, `<lease ${name}>`).replaceAll(decimal, `<lease ${name}>`);
    }
    this.#shown.push({ command, text: shown });
  }

  #withLeases(arg: string): string {
    return arg.replaceAll(/\{(\w+)\}/g, (_match, name: string) => this.#leases.get(name) ?? "0");
  }

  #etcdctl(args: readonly string[], stdin?: string) {
    const child = spawn(this.#program, ["--endpoints", this.#endpoint, ...args], {
      timeout: commandTimeoutMs,
    });
    const output = { stdout: "", stderr: "" };
    let ended = false;
    for (const name of ["stdout", "stderr"] as const)
      child[name].on("data", (chunk: Buffer) => {
        output[name] += chunk.toString();
      });
    // A command that refuses its arguments ends before it reads: its output says so, the pipe adds nothing.
    child.stdin.on("error", () => {});
    child.stdin.end(stdin ?? "");
    const done = new Promise<{ text: string }>((resolve, reject) => {
      child.on("error", reject);
      child.on("close", (code, signal) => {
        ended = true;
        resolve({ text: `${output.stdout}${output.stderr}exit ${code ?? signal}` });
      });
    });
    return {
      done,
      lineCount: () => output.stdout.split("\n").length - 1,
      hasEnded: () => ended,
      interrupt: () => child.kill("SIGINT"),
    };
  }
}
