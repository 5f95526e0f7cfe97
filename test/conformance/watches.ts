// One side's view of a watch stream, put into the form the comparison needs: a track per watch id with its
// acknowledgements and events in order, one for refused creates, one for progress broadcasts. What the mask's
// rules demand of every response by itself is checked here as it arrives.
import type { TestStream } from "./client.ts";
import { damageWatch } from "./defects.ts";
import { masked } from "./mask.ts";
import { type Message, show } from "./messages.ts";

export const refusedTrack = "refused creates";
export const progressTrack = "progress broadcasts";

export function watchTrack(id: bigint): string {
  return `watch ${id}`;
}

export class WatchTracks {
  readonly stream: TestStream;
  readonly #tracks = new Map<string, Message[]>();
  readonly #defect: string | undefined;
  /** Per watch id, the last response's last revision, and whether more fragments follow. */
  readonly #last = new Map<bigint, { readonly revision: bigint; readonly isFragment: boolean }>();
  readonly #eventCounts = new Map<bigint, number>();
  #consumed = 0;
  created = 0;
  canceled = 0;

  constructor(stream: TestStream, defect: string | undefined) {
    this.stream = stream;
    this.#defect = defect;
  }

  track(name: string): readonly Message[] {
    this.#consume();
    return this.#tracks.get(name) ?? [];
  }

  names(): readonly string[] {
    this.#consume();
    return [...this.#tracks.keys()];
  }

  eventCount(id: bigint): number {
    this.#consume();
    return this.#eventCounts.get(id) ?? 0;
  }

  /** Waits until `enough` holds. Throws with `what` when it does not in time. */
  async until(what: string, enough: () => boolean, timeoutMs: number): Promise<void> {
    const isEnough = () => {
      this.#consume();
      return enough();
    };
    if (await this.stream.until(isEnough, timeoutMs)) return;
    const end = this.stream.ended;
    const ending = end === undefined ? "" : `; the stream ended with ${end.code} "${end.text}"`;
    throw new Error(`${what} did not come within ${timeoutMs} ms${ending}`);
  }

  #consume(): void {
    const { received } = this.stream;
    while (this.#consumed < received.length) {
      this.#take(damageWatch(this.#defect, received[this.#consumed] as Message));
      this.#consumed++;
    }
  }

  #take(message: Message): void {
    const { events, header, watch_id, fragment: _fragment, ...rest } = masked(message);
    const id = (watch_id as bigint | undefined) ?? 0n;
    if (rest["created"] === true) this.created++;
    if (rest["canceled"] === true) this.canceled++;
    if (events === undefined) {
      const isAnswer = rest["created"] === true || rest["canceled"] === true;
      const name = id >= 0n ? watchTrack(id) : isAnswer ? refusedTrack : progressTrack;
      this.#push(name, { ...(header === undefined ? {} : { header }), ...rest });
      return;
    }
    const list = events as unknown as readonly Message[];
    this.#check(id, message, list);
    this.#eventCounts.set(id, (this.#eventCounts.get(id) ?? 0) + list.length);
    for (const event of list) this.#push(watchTrack(id), { event });
    if (Object.keys(rest).length > 0) this.#push(watchTrack(id), rest);
  }

  #check(id: bigint, message: Message, events: readonly Message[]): void {
    const revisions = events.map((event) => (event["kv"] as Message)["mod_revision"] as bigint);
    const first = revisions[0] ?? 0n;
    const last = revisions.at(-1) ?? 0n;
    const previous = this.#last.get(id);
    const header = ((message["header"] as Message | undefined)?.["revision"] as bigint | undefined) ?? 0n;
    if (header < last) throw new Error(`watch ${id}: header revision ${header} is below its event's ${last}`);
    if (previous !== undefined && !previous.isFragment && previous.revision >= first)
      throw new Error(
        `watch ${id}: revision ${first} follows ${previous.revision} in another response: ${show(message)}`,
      );
    this.#last.set(id, { revision: last, isFragment: message["fragment"] === true });
  }

  /** A watch id may be used again after its watch ended: its new watch may start at any revision. */
  forget(id: bigint): void {
    this.#last.delete(id);
  }

  #push(track: string, item: Message): void {
    const items = this.#tracks.get(track);
    if (items === undefined) this.#tracks.set(track, [item]);
    else items.push(item);
  }
}
