// One request for the HTTP routes and its answer, as a transport other than HTTP/1.1 hands them over.

import type { Readable } from "node:stream";

export interface HttpRequest {
  readonly method: string;
  readonly path: string;
  readonly authority: string;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
  readonly remoteAddress: string;
}

export interface HttpResponse {
  readonly status: number;
  /** Lower-case names and values in turn. */
  readonly fields: readonly string[];
  readonly body: Readable;
}
