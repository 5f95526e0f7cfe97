// The events of one response, as they are gathered. Whoever adds the same event to the same chain gets the same one
// back: a thousand watchers of one range walk along one chain, and share its list and whatever is made of that.
//
//   first = new EventChain(a)      chains grow at their end and never change
//   first.with(b) === first.with(b)

import type { EventBytes } from "./watch-event.ts";

export class EventChain {
  readonly event: EventBytes;
  readonly length: number;
  /** How much the events take from a stream's budget. */
  readonly cost: number;
  readonly #before: EventChain | undefined;
  /** The last one that was made of this and one event more. */
  #next: EventChain | undefined;
  #list: readonly EventBytes[] | undefined;

  constructor(event: EventBytes, before?: EventChain) {
    this.event = event;
    this.length = (before?.length ?? 0) + 1;
    this.cost = (before?.cost ?? 0) + eventCost(event);
    this.#before = before;
  }

  /** Hot: once for each watcher and event. */
  with(event: EventBytes): EventChain {
    if (this.#next?.event !== event) this.#next = new EventChain(event, this);
    return this.#next;
  }

  /** All events in order; always the same list. */
  get list(): readonly EventBytes[] {
    if (this.#list !== undefined) return this.#list;
    const list = new Array<EventBytes>(this.length);
    let chain: EventChain | undefined = this;
    for (let i = this.length - 1; chain !== undefined; i--, chain = chain.#before) list[i] = chain.event;
    this.#list = list;
    return list;
  }
}

/** What an event takes beside its bytes. */
const eventOverheadBytes = 8;

export function eventCost(event: EventBytes): number {
  return event.length + eventOverheadBytes;
}
