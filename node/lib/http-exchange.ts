// One request for the HTTP routes and its answer, as a transport other than HTTP/1.1 hands them over.

import type { Readable } from "node:stream";

export interface HttpRequest {
  readonly method: string;
  readonly path: string;
  readonly authority: string;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  /** To be read as it comes, or left alone. */
  readonly body: Readable;
  readonly remoteAddress: string;
  /** Aborted when the client is gone. */
  readonly signal: AbortSignal;
}

export interface HttpResponse {
  readonly status: number;
  /** Lower-case names and values in turn. */
  readonly fields: readonly string[];
  readonly body: Readable;
}
