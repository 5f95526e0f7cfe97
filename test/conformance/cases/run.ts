// Known traps of etcd's API, one by one. A case says what etcd answers; it runs against a real etcd, which must
// agree with the case, and against the member under test, whose whole transcript must equal etcd's.

import type { Member, MemberKind } from "../../tools/member.ts";
import { start } from "../../tools/member.ts";
import { type Outcome, TestClient, type TestStream } from "../client.ts";
import { differ, differOutcome, showOutcome } from "../diff.ts";
import { masked } from "../mask.ts";
import { type Input, type InputMessage, type Message, show, type Value } from "../messages.ts";
import { kvCases } from "./kv.ts";
import { leaseCases } from "./lease.ts";
import { maintenanceCases } from "./maintenance.ts";
import { txnCases } from "./txn.ts";
import { watchCases } from "./watch.ts";

export interface Case {
  readonly name: string;
  /** Flags that the case's own member needs; a case with flags, or marked fresh, shares its member with nobody. */
  readonly flags?: readonly string[];
  readonly isFresh?: boolean;
  readonly run: (run: CaseRun) => Promise<void>;
}

/** What an answer must hold: the fields named, `undefined` for one that must be absent; lists are exact. */
export interface Expected {
  readonly [field: string]: Input;
}

const streamTimeoutMs = 10_000;

export class CaseFailure extends Error {}

/** One case against one member. */
export class CaseRun {
  readonly transcript: Outcome[] = [];
  readonly labels: string[] = [];
  readonly member: Member;
  readonly #client: TestClient;
  readonly #streams: TestStream[] = [];
  /** The store's revision when the case began. */
  readonly base: number;

  constructor(client: TestClient, member: Member, base: number) {
    this.#client = client;
    this.member = member;
    this.base = base;
  }

  /** Calls and records; whatever comes is an answer. */
  async call(method: string, request: InputMessage): Promise<Outcome> {
    const outcome = await this.#client.call(method, request);
    const hiddenIds = outcome.ok
      ? { ok: true as const, response: masked(outcome.response, request) }
      : outcome;
    this.#record(`${method} ${show(request)}`, hiddenIds);
    return outcome;
  }

  /** Calls, and demands an answer with these fields. */
  async ok(method: string, request: InputMessage, expected: Expected = {}): Promise<Message> {
    const outcome = await this.call(method, request);
    const label = `${method} ${show(request)}`;
    if (!outcome.ok) throw new CaseFailure(`${label}: ${showOutcome(outcome)}`);
    const difference = differFields(expected, outcome.response, label);
    if (difference !== undefined) throw new CaseFailure(difference);
    return outcome.response;
  }

  /** Calls, and demands this error. */
  async fails(method: string, request: InputMessage, code: number, text: string): Promise<void> {
    const outcome = await this.call(method, request);
    if (!outcome.ok && outcome.code === code && outcome.text === text) return;
    throw new CaseFailure(
      `${method} ${show(request)}: expected error ${code} "${text}", got ${showOutcome(outcome)}`,
    );
  }

  put(key: string, value: string, more: InputMessage = {}): Promise<Message> {
    return this.ok("Put", { key, value, ...more });
  }

  async revision(): Promise<number> {
    const response = await this.ok("Range", { key: "x" });
    return Number((response["header"] as Message)["revision"]);
  }

  watch(): CaseStream {
    return this.#stream("Watch", this.#client.watch());
  }

  keepAlive(): CaseStream {
    return this.#stream("LeaseKeepAlive", this.#client.keepAlive());
  }

  /** For effects that need time, such as an expiry. */
  async eventually(what: string, holds: () => Promise<boolean>, timeoutMs = streamTimeoutMs): Promise<void> {
    const end = performance.now() + timeoutMs;
    while (!(await holds())) {
      if (performance.now() > end) throw new CaseFailure(`${what}: not within ${timeoutMs} ms`);
      await pause(pollMs);
    }
  }

  /** A call whose number of repetitions is not fixed: left out of the transcript. */
  quietly(method: string, request: InputMessage): Promise<Outcome> {
    return this.#client.call(method, request);
  }

  /** Demands what a case worked out itself. */
  expect(what: string, got: unknown, wanted: unknown): void {
    if (JSON.stringify(got) === JSON.stringify(wanted)) return;
    throw new CaseFailure(`${what}: expected ${JSON.stringify(wanted)}, got ${JSON.stringify(got)}`);
  }

  close(): void {
    for (const stream of this.#streams) stream.cancel();
  }

  #stream(name: string, stream: TestStream): CaseStream {
    this.#streams.push(stream);
    return new CaseStream(stream, (label, message) =>
      this.#record(`${name}: ${label}`, { ok: true, response: message }),
    );
  }

  #record(label: string, outcome: Outcome): void {
    this.labels.push(label);
    this.transcript.push(outcome);
  }
}

const pollMs = 50;

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

export class CaseStream {
  readonly #stream: TestStream;
  readonly #record: (label: string, message: Message) => void;
  #read = 0;

  constructor(stream: TestStream, record: (label: string, message: Message) => void) {
    this.#stream = stream;
    this.#record = record;
  }

  send(request: InputMessage): void {
    this.#stream.send(request);
  }

  create(request: InputMessage): void {
    this.send({ create_request: request });
  }

  /** Demands that the next message holds these fields. A quiet one stays out of the transcript. */
  async next(
    expected: Expected,
    timeoutMs = streamTimeoutMs,
    { isQuiet }: { isQuiet: boolean } = { isQuiet: false },
  ): Promise<Message> {
    const index = this.#read++;
    if (!(await this.#stream.until((received) => received.length > index, timeoutMs))) {
      const end = this.#stream.ended;
      throw new CaseFailure(
        `no message with ${show(expected)}${end === undefined ? "" : `; ended: ${end.text}`}`,
      );
    }
    const message = this.#stream.received[index] as Message;
    if (!isQuiet) this.#record(show(expected), masked(message));
    const difference = differFields(expected, message, "message");
    if (difference !== undefined) throw new CaseFailure(`${difference} in ${show(message)}`);
    return message;
  }

  /** Demands that nothing comes for a while. */
  async silence(ms: number): Promise<void> {
    const index = this.#read;
    if (await this.#stream.until((received) => received.length > index, ms))
      throw new CaseFailure(`expected silence, got ${show(this.#stream.received[index] as Message)}`);
  }
}

function differFields(expected: Expected, got: Message, path: string): string | undefined {
  for (const [name, wanted] of Object.entries(expected)) {
    const found = differInput(wanted, got[name], `${path}: ${name}`);
    if (found !== undefined) return found;
  }
  return undefined;
}

function differInput(wanted: Input, got: Value | undefined, path: string): string | undefined {
  if (wanted === undefined || got === undefined)
    return wanted === got ? undefined : `${path}: expected ${show(wanted)}, got ${show(got)}`;
  if (Array.isArray(wanted) && Array.isArray(got)) {
    if (wanted.length !== got.length) return `${path}: expected ${wanted.length} items, got ${got.length}`;
    for (const [i, one] of wanted.entries()) {
      const found = differInput(one as Input, got[i], `${path}[${i}]`);
      if (found !== undefined) return found;
    }
    return undefined;
  }
  if (typeof wanted === "object" && !(wanted instanceof Uint8Array))
    return differFields(wanted as Expected, got as Message, path);
  const value = typeof wanted === "number" ? BigInt(wanted) : wanted;
  return differ(
    got instanceof Uint8Array ? Buffer.from(String(value), "latin1") : (value as Value),
    got,
    path,
  );
}

const groups: Readonly<Record<string, readonly Case[]>> = {
  kv: kvCases,
  txn: txnCases,
  watch: watchCases,
  lease: leaseCases,
  maintenance: maintenanceCases,
};

type Report = (ok: boolean, name: string) => void;

export async function runCases(subjectKind: MemberKind, report: Report): Promise<void> {
  for (const [group, cases] of Object.entries(groups)) {
    const expected = await runGroup("etcd", cases);
    const got = await runGroup(subjectKind, cases);
    for (const [i, one] of cases.entries()) {
      const name = `${group}: ${one.name}`;
      const [a, b] = [expected[i] as CaseResult, got[i] as CaseResult];
      if (a.failure !== undefined)
        report(false, `${name}\n       etcd does not do what the case says: ${a.failure}`);
      else {
        const failure = b.failure ?? differTranscripts(a, b);
        report(failure === undefined, failure === undefined ? name : `${name}\n       ${failure}`);
      }
    }
  }
}

interface CaseResult {
  readonly failure: string | undefined;
  readonly transcript: readonly Outcome[];
  readonly labels: readonly string[];
}

async function runGroup(kind: MemberKind, cases: readonly Case[]): Promise<readonly CaseResult[]> {
  const shared = await start({ kind });
  const results: CaseResult[] = [];
  try {
    for (const one of cases) {
      if (one.flags === undefined && one.isFresh !== true) results.push(await runCase(one, shared));
      else {
        const own = await start({ kind, flags: one.flags ?? [] });
        results.push(await runCase(one, own).finally(() => own.stop()));
      }
    }
  } finally {
    await shared.stop();
  }
  return results;
}

async function runCase(one: Case, member: Member): Promise<CaseResult> {
  const client = new TestClient(member.endpoint);
  const first = await client.call("Range", { key: "x" });
  const base = first.ok ? Number((first.response["header"] as Message)["revision"]) : 0;
  const run = new CaseRun(client, member, base);
  let failure: string | undefined;
  try {
    await one.run(run);
  } catch (error) {
    if (!(error instanceof CaseFailure)) throw error;
    failure = error.message;
  } finally {
    run.close();
    client.close();
  }
  return { failure, transcript: run.transcript, labels: run.labels };
}

function differTranscripts(expected: CaseResult, got: CaseResult): string | undefined {
  for (const [i, outcome] of expected.transcript.entries()) {
    const other = got.transcript[i];
    if (other === undefined) return `the transcript ends before ${expected.labels[i]}`;
    const difference = differOutcome(outcome, other, expected.labels[i]);
    if (difference !== undefined) return difference;
  }
  return undefined;
}
