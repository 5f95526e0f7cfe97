// Asks the JSON gateways of both kinds of member the same, one after the other on the same ports, and compares status,
// fields and bodies: a script, and behind it bodies that are nearly right.

import { SeededRandom } from "../../../node/lib/random.ts";
import { type Member, type MemberKind, start } from "../../tools/member.ts";
import { ask, type Question } from "./ask.ts";
import { mutated } from "./mutations.ts";
import { script } from "./script.ts";

const mutationCount = 2_000;

export async function runGateway(
  subjectKind: MemberKind,
  seed: number,
  report: (ok: boolean, name: string) => void,
): Promise<void> {
  const random = new SeededRandom(seed);
  const questions = [...script, ...Array.from({ length: mutationCount }, () => mutated(random))];
  const reference = await start({ kind: "etcd" });
  const expected = await askAll(reference, questions).finally(() => reference.stop());
  const subject = await start({ kind: subjectKind, ports: reference.ports });
  const got = await askAll(subject, questions).finally(() => subject.stop());
  let equal = 0;
  for (const [i, question] of questions.entries()) {
    if (expected[i] === got[i]) equal++;
    else report(false, `gateway: ${shown(question)}\n${bothOf(expected[i] ?? "", got[i] ?? "")}`);
  }
  const { length } = questions;
  report(equal === length, `gateway: ${equal} of ${length} answers are equal, mutations of seed ${seed}`);
}

async function askAll(member: Member, questions: readonly Question[]): Promise<readonly string[]> {
  const answers: string[] = [];
  for (const question of questions) {
    answers.push(await ask(member.clientUrl, question).catch((error: Error) => `error: ${error.message}`));
  }
  return answers;
}

const shownCharacters = 300;

function shown({ method = "POST", path, body = "", headers = {}, webSocket }: Question): string {
  const what = webSocket === undefined ? `${method} ${path}` : `WebSocket ${path} ${webSocket.messages}`;
  return `${what} ${JSON.stringify(headers)} ${body}`.slice(0, shownCharacters);
}

function bothOf(expected: string, got: string): string {
  const [a, b] = [expected.split("\n"), got.split("\n")];
  const line = a.findIndex((text, i) => text !== b[i]);
  const at = line === -1 ? a.length : line;
  const cut = (text: string | undefined): string =>
    JSON.stringify(text)?.slice(0, shownCharacters) ?? "nothing";
  return `       expected ${cut(a[at])}\n       got      ${cut(b[at])}`;
}
