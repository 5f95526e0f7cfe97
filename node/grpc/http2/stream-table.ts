// The open streams of a connection by id. A table of slots with linear probing: ids count up, so a stream's place follows
// from its id and is mostly free. Hot: every call comes and goes here, and a Map leaves tables behind as it does.

import type { Stream } from "./stream.ts";

const slotsMin = 8;
/** An empty table that grew beyond is made small again. Streams come in waves, so not one that grew less. */
const keptSlotsMax = 1024;

export class StreamTable {
  // Invariant: a power of two, at most half full; between a stream and the place of its id no slot is empty.
  #slots: (Stream | undefined)[] = emptySlots(slotsMin);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get(id: number): Stream | undefined {
    const slots = this.#slots;
    const mask = slots.length - 1;
    for (let at = placeOf(id, mask); ; at = (at + 1) & mask) {
      const stream = slots[at];
      if (stream === undefined || stream.id === id) return stream;
    }
  }

  /** No stream of that id is there. */
  add(stream: Stream): void {
    if (this.#size * 2 >= this.#slots.length) this.#resize(this.#slots.length * 2);
    this.#place(stream);
    this.#size++;
  }

  delete(id: number): void {
    const slots = this.#slots;
    const mask = slots.length - 1;
    let hole = placeOf(id, mask);
    while (slots[hole]?.id !== id) {
      if (slots[hole] === undefined) return;
      hole = (hole + 1) & mask;
    }
    // Those behind move up, as far as the place of their id allows.
    for (let at = (hole + 1) & mask; ; at = (at + 1) & mask) {
      const stream = slots[at];
      if (stream === undefined) break;
      if (((at - placeOf(stream.id, mask)) & mask) < ((at - hole) & mask)) continue;
      slots[hole] = stream;
      hole = at;
    }
    slots[hole] = undefined;
    this.#size--;
    if (this.#size === 0 && slots.length > keptSlotsMax) this.#slots = emptySlots(slotsMin);
  }

  /** By ascending id. */
  all(): readonly Stream[] {
    const streams: Stream[] = [];
    for (const stream of this.#slots) if (stream !== undefined) streams.push(stream);
    return streams.sort((a, b) => a.id - b.id);
  }

  #place(stream: Stream): void {
    const slots = this.#slots;
    const mask = slots.length - 1;
    let at = placeOf(stream.id, mask);
    while (slots[at] !== undefined) at = (at + 1) & mask;
    slots[at] = stream;
  }

  #resize(length: number): void {
    const streams = this.#slots;
    this.#slots = emptySlots(length);
    for (const stream of streams) if (stream !== undefined) this.#place(stream);
  }
}

/** Clients' ids are odd. */
function placeOf(id: number, mask: number): number {
  return (id >>> 1) & mask;
}

function emptySlots(length: number): (Stream | undefined)[] {
  return new Array<Stream | undefined>(length).fill(undefined);
}
