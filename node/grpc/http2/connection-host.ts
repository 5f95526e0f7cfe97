// Who gets the requests of a connection.

import type { Connection } from "./connection.ts";
import type { RequestHead } from "./request-head.ts";

export interface ConnectionHost {
  /** A request and its whole body, bytes [start, end), which are the host's only during the call. Hot. */
  onWhole(
    connection: Connection,
    streamId: number,
    head: RequestHead,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): void;
  /** A request whose body may follow. The host opens the stream, or answers without. */
  onRequest(connection: Connection, streamId: number, head: RequestHead, isRemoteOpen: boolean): void;
  onClosed(connection: Connection): void;
}
