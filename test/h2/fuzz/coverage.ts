// Which parts of the server's code ran, from V8's own counters.
import { type Profiler, Session } from "node:inspector";

const watched = "/node/grpc/";

export class Coverage {
  readonly #session = new Session();
  readonly #seen = new Set<string>();

  constructor() {
    this.#session.connect();
    this.#session.post("Profiler.enable");
    this.#session.post("Profiler.startPreciseCoverage", { callCount: true, detailed: true });
  }

  get size(): number {
    return this.#seen.size;
  }

  /** Places that ran since the last call. */
  places(): readonly string[] {
    const places: string[] = [];
    for (const { url, functions } of this.#take()) {
      if (!url.includes(watched)) continue;
      for (const { ranges } of functions) {
        for (const { startOffset, endOffset, count } of ranges) {
          if (count > 0) places.push(`${url}:${startOffset}:${endOffset}`);
        }
      }
    }
    return places;
  }

  /** Those that were not seen before. */
  fresh(): readonly string[] {
    return this.places().filter((place) => !this.#seen.has(place));
  }

  see(places: readonly string[]): void {
    for (const place of places) this.#seen.add(place);
  }

  stop(): void {
    this.#session.disconnect();
  }

  #take(): readonly Profiler.ScriptCoverage[] {
    let result: readonly Profiler.ScriptCoverage[] = [];
    this.#session.post("Profiler.takePreciseCoverage", (_error, taken) => {
      result = taken?.result ?? [];
    });
    return result;
  }
}
