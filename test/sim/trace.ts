// The fingerprint of a run: a hash over time, kind and bytes of everything that happened.

import { createHash } from "node:crypto";
import { emptyBytes, utf8 } from "../../node/lib/bytes.ts";

export class Trace {
  readonly #hash = createHash("sha256");
  readonly #nowUs: () => number;
  readonly #print: ((line: string) => void) | undefined;
  #steps = 0;

  constructor(nowUs: () => number, print?: (line: string) => void) {
    this.#nowUs = nowUs;
    this.#print = print;
  }

  /** Events run by the scheduler. */
  get steps(): number {
    return this.#steps;
  }

  /** An event of the scheduler begins. */
  step(kind: string): void {
    this.#steps++;
    this.note(kind);
  }

  /** Something within an event. */
  note(kind: string, content: string | Uint8Array = emptyBytes): void {
    const bytes = typeof content === "string" ? utf8(content) : content;
    this.#hash.update(`${this.#nowUs()} ${kind} ${bytes.length}\n`);
    if (bytes.length > 0) this.#hash.update(bytes);
    if (this.#print !== undefined) {
      const text = typeof content === "string" ? content : `${content.length} bytes`;
      this.#print(`${(this.#nowUs() / 1000).toFixed(3)} #${this.#steps} ${kind} ${text.slice(0, 300)}`);
    }
  }

  /** Once, at the end. */
  digest(): string {
    return this.#hash.digest("hex").slice(0, 16);
  }
}
