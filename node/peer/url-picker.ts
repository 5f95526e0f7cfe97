// Which of a peer's URLs to use: one until it fails, then the next.

import { must } from "../lib/assert.ts";

export class UrlPicker {
  #urls: readonly URL[];
  #at = 0;

  /** Throws for text that is no URL and for an empty list. */
  constructor(urls: readonly string[]) {
    this.#urls = parse(urls);
  }

  get(): URL {
    return must(this.#urls[this.#at], "a peer has a URL");
  }

  /** Moves on, unless another failure did already. */
  failed(url: URL): void {
    if (this.get() === url) this.#at = (this.#at + 1) % this.#urls.length;
  }

  update(urls: readonly string[]): void {
    this.#urls = parse(urls);
    this.#at = 0;
  }
}

function parse(urls: readonly string[]): readonly URL[] {
  if (urls.length === 0) throw new Error("a peer without URLs");
  return urls.map((url) => new URL(url));
}
