// Runs one random history against two members in lock step and compares everything they answer.
import { SeededRandom } from "../../node/lib/random.ts";
import { type Outcome, TestClient, type TestStream } from "./client.ts";
import { damageAnswer } from "./defects.ts";
import { differ, differOutcome, showOutcome } from "./diff.ts";
import { HistoryGenerator, type Op, streamCount } from "./generate.ts";
import { masked } from "./mask.ts";
import { type InputMessage, type Message, show } from "./messages.ts";
import { HistoryModel, type OpenWatch } from "./model.ts";
import type { VariantCounts } from "./variants.ts";
import { progressTrack, refusedTrack, WatchTracks, watchTrack } from "./watches.ts";

export interface HistoryOptions {
  readonly seed: number;
  readonly ops: number;
  readonly referenceEndpoint: string;
  readonly subjectEndpoint: string;
  readonly variants: VariantCounts;
  /** A planted defect in the subject's answers. */
  readonly defect?: string;
}

export interface HistoryDifference {
  readonly opIndex: number;
  readonly what: string;
  /** The last operations with both answers, newest last. */
  readonly context: readonly string[];
}

const eventTimeoutMs = 10_000;
const answerTimeoutMs = 10_000;
const progressRetryMs = 150;
const progressAttempts = 40;
/** How long a stream that must stay silent is listened to. */
const silenceMs = 150;
const hashAttempts = 100;
const hashRetryMs = 10;
const opsBetweenBarriers = 25;
const contextOps = 6;
const contextLineMax = 1_500;

interface Side {
  readonly name: string;
  readonly client: TestClient;
  readonly watches: readonly WatchTracks[];
  readonly keepAlive: TestStream;
  readonly defect: string | undefined;
}

class Difference extends Error {}

export async function runHistory(options: HistoryOptions): Promise<HistoryDifference | undefined> {
  const history = new History(options);
  try {
    return await history.run();
  } finally {
    history.close();
  }
}

class History {
  readonly #options: HistoryOptions;
  readonly #model = new HistoryModel();
  readonly #generator: HistoryGenerator;
  readonly #reference: Side;
  readonly #subject: Side;
  /** The reference's watch on everything, which tells the model what happened. */
  readonly #log: WatchTracks;
  readonly #compared = new Map<string, number>();
  readonly #recent: string[] = [];
  /** Streams with a watch that may still be catching up on old revisions. */
  readonly #catchingUp = new Set<number>();
  #logRead = 0;

  constructor(options: HistoryOptions) {
    this.#options = options;
    this.#generator = new HistoryGenerator(new SeededRandom(options.seed), this.#model);
    this.#reference = openSide("reference", options.referenceEndpoint, undefined);
    this.#subject = openSide("subject", options.subjectEndpoint, options.defect);
    this.#log = new WatchTracks(this.#reference.client.watch(), undefined);
  }

  async run(): Promise<HistoryDifference | undefined> {
    let index = 0;
    try {
      this.#log.stream.send({
        create_request: { key: "\0", range_end: "\0", start_revision: 1, prev_kv: true },
      });
      await this.#log.until("the log watch", () => this.#log.created === 1, answerTimeoutMs);
      for (; index < this.#options.ops; index++) {
        await this.#step(this.#generator.next());
        if (index % opsBetweenBarriers === 0) await this.#barrier();
      }
      await this.#barrier();
      await this.#call({ kind: "call", method: "Range", request: { key: "\0", range_end: "\0" } });
      await this.#call({ kind: "call", method: "HashKV", request: {} });
      return undefined;
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      return { opIndex: index, what: error.message, context: this.#recent };
    }
  }

  close(): void {
    for (const side of [this.#reference, this.#subject]) {
      for (const watches of side.watches) watches.stream.cancel();
      side.keepAlive.cancel();
      side.client.close();
    }
    this.#log.stream.cancel();
  }

  async #step(op: Op): Promise<void> {
    this.#remember(describe(op));
    switch (op.kind) {
      case "call":
        return this.#call(op);
      case "keepAlive":
        return this.#keepAlive(op.request);
      case "pickedLease":
        return this.#pickedLease();
      case "watch":
        return this.#watch(op.stream, op.request);
      case "cancel":
        return this.#cancel(op.stream, op.id);
      case "progress":
        return this.#progress(op.stream);
    }
  }

  async #call(op: Extract<Op, { kind: "call" }>): Promise<void> {
    // A compaction overtakes a watch that is still catching up, at a moment nobody fixes: so none may be.
    if (op.method === "Compact") await this.#settle();
    const [expected] = await this.#both(op.method, op.request);
    this.#options.variants.observe(op, expected);
    if (!expected.ok) return;
    this.#learn(op, expected.response);
    if (op.method === "Compact") await this.#settleHash();
    const revision = Number((expected.response["header"] as Message | undefined)?.["revision"] ?? 0);
    if (revision > this.#model.revision) await this.#readLog(revision);
  }

  /** Calls both members, compares, and returns their answers as they came. */
  async #both(
    method: string,
    request: InputMessage,
    subjectRequest = request,
  ): Promise<readonly [Outcome, Outcome]> {
    const [expected, got] = await Promise.all([
      this.#reference.client.call(method, request),
      this.#subject.client
        .call(method, subjectRequest)
        .then((outcome) => damageAnswer(this.#subject.defect, outcome)),
    ]);
    const difference = differOutcome(maskOutcome(expected, request), maskOutcome(got, request));
    this.#remember(`    -> ${showOutcome(expected)}`);
    if (difference === undefined) return [expected, got];
    this.#remember(`    got ${showOutcome(got)}`);
    throw new Difference(difference);
  }

  #learn({ method, request }: Extract<Op, { kind: "call" }>, response: Message): void {
    const id = BigInt(String(request["ID"] ?? 0));
    if (method === "Compact") {
      this.#model.compacted = Math.max(0, Number(request["revision"]));
      this.#model.compactions.push(this.#model.compacted);
    }
    if (method === "LeaseGrant") this.#model.leases.push(response["ID"] as bigint);
    if (method === "LeaseRevoke") {
      this.#model.leases.splice(this.#model.leases.indexOf(id), 1);
      this.#model.goneLeases.push(id);
    }
  }

  /** Takes the reference's events up to `revision` into the model. */
  async #readLog(revision: number): Promise<void> {
    const track = () => this.#log.track(watchTrack(0n));
    const lastRevision = () => {
      const event = track().at(-1)?.["event"] as Message | undefined;
      return Number((event?.["kv"] as Message | undefined)?.["mod_revision"] ?? 0);
    };
    await this.#log.until(
      `the reference's event of ${revision}`,
      () => lastRevision() >= revision,
      eventTimeoutMs,
    );
    for (const item of track().slice(this.#logRead)) {
      this.#logRead++;
      if (item["event"] !== undefined) this.#model.apply(item["event"] as Message);
    }
    this.#model.revision = revision;
  }

  async #keepAlive(request: InputMessage): Promise<void> {
    const answers = await Promise.all(
      [this.#reference, this.#subject].map(async ({ name, keepAlive }) => {
        const before = keepAlive.received.length;
        keepAlive.send(request);
        if (!(await keepAlive.until((received) => received.length > before, answerTimeoutMs)))
          throw new Difference(`${name}: no answer to a keep-alive`);
        return masked(keepAlive.received[before] as Message, request);
      }),
    );
    const [expected, got] = answers as [Message, Message];
    const difference = differ(expected, got);
    if (difference !== undefined) throw new Difference(difference);
    this.#options.variants.count(
      expected["TTL"] === undefined ? "LeaseKeepAlive: gone" : "LeaseKeepAlive: renewed",
    );
  }

  /** A lease whose id each server picks for itself, from grant to revoke. */
  async #pickedLease(): Promise<void> {
    const [expected, got] = await this.#both("LeaseGrant", { TTL: 60_000 });
    const [own, other] = [expected, got].map((outcome) => (outcome.ok ? outcome.response["ID"] : 0n)) as [
      bigint,
      bigint,
    ];
    for (const method of ["LeaseTimeToLive", "LeaseRevoke", "LeaseRevoke"]) {
      // The ids differ, so what echoes them is masked by asking as if it were picked again.
      const outcomes = await Promise.all([
        this.#reference.client.call(method, { ID: own }),
        this.#subject.client.call(method, { ID: other }),
      ]);
      const [first, second] = outcomes.map((outcome) => maskOutcome(outcome, {})) as [Outcome, Outcome];
      const difference = differOutcome(first, second, method);
      if (difference !== undefined) throw new Difference(difference);
    }
    this.#options.variants.count("LeaseGrant: id picked by the server");
  }

  async #watch(stream: number, request: InputMessage): Promise<void> {
    const { variants } = this.#options;
    const start = Number(request["start_revision"] ?? 0);
    const isCompacted = start > 0 && start < this.#model.compacted;
    const [reference] = await this.#onBoth(stream, async (tracks) => {
      const created = tracks.created;
      const refused = tracks.track(refusedTrack).length;
      const canceled = tracks.canceled;
      const id = request["watch_id"] as number | undefined;
      if (id !== undefined && !this.#isOpen(stream, BigInt(id))) tracks.forget(BigInt(id));
      tracks.stream.send({ create_request: request });
      await tracks.until("the answer to a watch", () => tracks.created > created, answerTimeoutMs);
      const isRefused = tracks.track(refusedTrack).length > refused;
      if (isCompacted && !isRefused)
        await tracks.until(
          "the cancel of a compacted watch",
          () => tracks.canceled > canceled,
          answerTimeoutMs,
        );
      const message = tracks.stream.received.findLast((one) => one["created"] === true) as Message;
      return { message, isRefused };
    });
    this.#compareTracks(stream, { isSettled: false });
    const { message, isRefused } = reference;
    if (isRefused) {
      const reason = String(message["cancel_reason"]);
      if (reason.includes("duplicate")) variants.count("Watch: duplicate id");
      else if (start < 0) variants.count("Watch: negative start");
      else variants.count("Watch: empty range");
      return;
    }
    if (isCompacted) variants.count("Watch: compacted");
    this.#opened(stream, request, message, isCompacted);
  }

  /** A watch canceled for compaction stays in etcd's books, with no events to come, until the client cancels it. */
  #opened(stream: number, request: InputMessage, created: Message, isCompacted: boolean): void {
    const { variants } = this.#options;
    const start = Number(request["start_revision"] ?? 0);
    const current = Number((created["header"] as Message)["revision"]);
    const filters = (request["filters"] ?? []) as readonly string[];
    const key = request["key"] as string | undefined;
    const watch: OpenWatch = {
      stream,
      id: (created["watch_id"] as bigint | undefined) ?? 0n,
      key: key === undefined || key === "" ? "\0" : key,
      rangeEnd: (request["range_end"] as string | undefined) ?? "",
      progressRevision: isCompacted ? Number.POSITIVE_INFINITY : start,
      startRevision: isCompacted ? Number.POSITIVE_INFINITY : start > 0 ? start : current + 1,
      noPut: filters.includes("NOPUT"),
      noDelete: filters.includes("NODELETE"),
    };
    this.#model.watches.push(watch);
    if (isCompacted) return;
    if (start === 0) variants.count("Watch: created from now");
    else if (start > current) variants.count("Watch: created from the future");
    else variants.count("Watch: created from the past");
    if (start > 0 && start <= current) this.#catchingUp.add(stream);
    if (request["watch_id"] !== undefined) variants.count("Watch: id chosen by the client");
    if (filters.length > 0) variants.count("Watch: filters");
    if (this.#model.watches.filter((one) => one.stream === stream).length >= 3)
      variants.count("Watch: three watches on a stream");
  }

  async #cancel(stream: number, id: bigint): Promise<void> {
    const isKnown = this.#isOpen(stream, id);
    if (!isKnown) {
      // Nothing comes back; that nothing did is seen when tracks are compared later.
      for (const side of [this.#reference, this.#subject])
        side.watches[stream]?.stream.send({ cancel_request: { watch_id: id } });
      return this.#options.variants.count("Watch: cancel of an unknown id");
    }
    await this.#barrier();
    await this.#onBoth(stream, async (tracks) => {
      const canceled = tracks.canceled;
      tracks.stream.send({ cancel_request: { watch_id: id } });
      await tracks.until("the answer to a cancel", () => tracks.canceled > canceled, answerTimeoutMs);
    });
    this.#model.watches = this.#model.watches.filter((watch) => watch.stream !== stream || watch.id !== id);
    this.#compareTracks(stream, { isSettled: true });
    this.#options.variants.count("Watch: canceled");
  }

  async #progress(stream: number): Promise<void> {
    await this.#barrier();
    const { variants } = this.#options;
    const open = this.#model.watches.filter((watch) => watch.stream === stream);
    const isSilent = open.length === 0 || open.some((watch) => watch.progressRevision > this.#model.revision);
    if (!isSilent) {
      await this.#askProgress(stream);
      return variants.count("Watch: progress answered");
    }
    await this.#onBoth(stream, async (tracks) => {
      const before = tracks.track(progressTrack).length;
      tracks.stream.send({ progress_request: {} });
      if (await tracks.stream.until(() => tracks.track(progressTrack).length > before, silenceMs))
        throw new Difference("a progress request was answered that etcd leaves unanswered");
    });
    variants.count("Watch: progress silent");
  }

  /** Asks until both sides have answered: then every watch of the stream has caught up. */
  async #askProgress(stream: number): Promise<void> {
    const answers = await this.#onBoth(stream, async (tracks) => {
      const before = tracks.track(progressTrack).length;
      for (let attempt = 0; attempt < progressAttempts; attempt++) {
        tracks.stream.send({ progress_request: {} });
        if (await tracks.stream.until(() => tracks.track(progressTrack).length > before, progressRetryMs))
          return tracks.track(progressTrack)[before] as Message;
      }
      throw new Difference("a progress request stayed unanswered though all watches have caught up");
    });
    const difference = differ(answers[0], answers[1], "progress");
    if (difference !== undefined) throw new Difference(difference);
    this.#catchingUp.delete(stream);
  }

  /** All events delivered, and no watch still reading old revisions. */
  async #settle(): Promise<void> {
    await this.#barrier();
    for (const stream of [...this.#catchingUp]) {
      const open = this.#model.watches.filter((watch) => watch.stream === stream);
      const compacted = open.filter((watch) => watch.startRevision === Number.POSITIVE_INFINITY);
      for (const watch of compacted) await this.#cancel(stream, watch.id);
      if (open.length > compacted.length) await this.#askProgress(stream);
    }
  }

  /**
   * Waits until the compaction is through on both sides. Its hash is then kept, and the oldest kept one let go; a
   * compaction that begins before the one before it was through keeps none, at moments nobody fixes.
   */
  async #settleHash(): Promise<void> {
    const revision = this.#model.compacted;
    await Promise.all(
      [this.#reference, this.#subject].map(async ({ client }) => {
        for (let attempt = 0; attempt < hashAttempts; attempt++) {
          const answer = await client.call("HashKV", { revision });
          if (!answer.ok || answer.response["compact_revision"] !== BigInt(revision)) return;
          await new Promise((resolve) => setTimeout(resolve, hashRetryMs));
        }
      }),
    );
  }

  /** Waits until both sides delivered every event of every watch, and compares the tracks. */
  async #barrier(): Promise<void> {
    for (let stream = 0; stream < streamCount; stream++) {
      const open = this.#model.watches.filter((watch) => watch.stream === stream);
      const wanted = open.map((watch) => ({ id: watch.id, count: this.#expectedEvents(watch) }));
      await this.#onBoth(stream, async (tracks) => {
        for (const { id, count } of wanted)
          await tracks.until(
            `event ${count} of watch ${id} on stream ${stream}`,
            () => tracks.eventCount(id) >= count,
            eventTimeoutMs,
          );
      });
      this.#compareTracks(stream, { isSettled: true });
    }
  }

  /** Counts over all watches that ever had this id on the stream, as the track does. */
  #expectedEvents(watch: OpenWatch): number {
    const track = this.#reference.watches[watch.stream]?.track(watchTrack(watch.id)) ?? [];
    const lastCreated = track.findLastIndex((item) => item["created"] === true);
    const earlier = track.slice(0, lastCreated).filter((item) => item["event"] !== undefined).length;
    return earlier + this.#model.expectedCount(watch);
  }

  /** Before a stream is settled, its watches may still catch up at different speeds: only what both have counts. */
  #compareTracks(stream: number, { isSettled }: { isSettled: boolean }): void {
    const expected = this.#reference.watches[stream] as WatchTracks;
    const got = this.#subject.watches[stream] as WatchTracks;
    for (const name of new Set([...expected.names(), ...got.names()])) {
      if (name === progressTrack) continue;
      const key = `${stream} ${name}`;
      const from = this.#compared.get(key) ?? 0;
      const common = Math.min(expected.track(name).length, got.track(name).length);
      const end = isSettled ? undefined : common;
      const [a, b] = [expected.track(name).slice(from, end), got.track(name).slice(from, end)];
      const difference = differ(a, b, `stream ${stream}, ${name}, from item ${from}`);
      if (difference !== undefined) throw new Difference(difference);
      this.#countEvents(a);
      this.#compared.set(key, from + a.length);
    }
  }

  #countEvents(items: readonly Message[]): void {
    const { variants } = this.#options;
    let previous: unknown;
    for (const item of items) {
      const event = item["event"] as Message | undefined;
      if (event === undefined) continue;
      variants.count(event["type"] === "DELETE" ? "Watch: delete event" : "Watch: put event");
      if (event["prev_kv"] !== undefined) variants.count("Watch: previous value");
      const revision = (event["kv"] as Message)["mod_revision"];
      if (revision === previous) variants.count("Watch: several events of one revision");
      previous = revision;
    }
  }

  #isOpen(stream: number, id: bigint): boolean {
    return this.#model.watches.some((watch) => watch.stream === stream && watch.id === id);
  }

  async #onBoth<T>(stream: number, act: (tracks: WatchTracks) => Promise<T>): Promise<[T, T]> {
    const run = (side: Side) =>
      act(side.watches[stream] as WatchTracks).catch((cause: Error) => {
        throw new Difference(`${side.name}: ${cause.message}`, { cause });
      });
    return Promise.all([run(this.#reference), run(this.#subject)]);
  }

  #remember(line: string): void {
    this.#recent.push(line.length > contextLineMax ? `${line.slice(0, contextLineMax)}...` : line);
    if (this.#recent.length > contextOps * 2) this.#recent.shift();
  }
}

function openSide(name: string, endpoint: string, defect: string | undefined): Side {
  const client = new TestClient(endpoint);
  const watches = Array.from({ length: streamCount }, () => new WatchTracks(client.watch(), defect));
  return { name, client, watches, keepAlive: client.keepAlive(), defect };
}

function maskOutcome(outcome: Outcome, request: InputMessage): Outcome {
  return outcome.ok ? { ok: true, response: masked(outcome.response, request) } : outcome;
}

function describe(op: Op): string {
  switch (op.kind) {
    case "call":
      return `${op.method} ${show(op.request)}`;
    case "keepAlive":
      return `LeaseKeepAlive ${show(op.request)}`;
    case "pickedLease":
      return "LeaseGrant, TimeToLive, Revoke, Revoke of an id picked by the server";
    case "watch":
      return `Watch on stream ${op.stream}: ${show(op.request)}`;
    case "cancel":
      return `cancel watch ${op.id} on stream ${op.stream}`;
    case "progress":
      return `progress request on stream ${op.stream}`;
  }
}
