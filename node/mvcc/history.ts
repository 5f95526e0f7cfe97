// What the watch hub reads of the past: whole revisions of events from the bucket `key`, and a key as it was.

import type { BackendReader } from "../lib/backend.ts";
import { liveVersionAt } from "./key-index.ts";
import { deleteEventKv, keyOfRecord, recordAt } from "./records.ts";
import { assertRecordKey, isTombstoneKey, mainOf, type Revision, recordKey } from "./revision.ts";
import type { RevisionEvents, WatchEvent, WatchHistory } from "./watch-event.ts";

/** Where the store stands; asked anew with each read. */
export interface HistoryState {
  readonly currentRevision: Revision;
  readonly compactRevision: Revision;
}

export class StoreHistory implements WatchHistory {
  readonly #reader: BackendReader;
  readonly #state: HistoryState;

  constructor(reader: BackendReader, state: HistoryState) {
    this.#reader = reader;
    this.#state = state;
  }

  currentRevision(): Revision {
    return this.#state.currentRevision;
  }

  compactRevision(): Revision {
    return this.#state.compactRevision;
  }

  readEvents(
    fromRevision: Revision,
    { revisionsMax, bytesMax }: { readonly revisionsMax: number; readonly bytesMax: number },
  ): { readonly revisions: readonly RevisionEvents[]; readonly nextRevision: Revision } {
    const behindLast = this.#state.currentRevision + 1;
    const revisions: { readonly revision: Revision; readonly events: WatchEvent[] }[] = [];
    let nextRevision = behindLast;
    let bytes = 0;
    const cursor = this.#reader.cursor("key", {
      start: recordKey(fromRevision, 0, false),
      end: recordKey(behindLast, 0, false),
    });
    while (cursor.next()) {
      const { key, value } = cursor;
      assertRecordKey(key);
      const revision = mainOf(key);
      let open = revisions.at(-1);
      if (open === undefined || open.revision !== revision) {
        const isEnough = open !== undefined && (revisions.length >= revisionsMax || bytes >= bytesMax);
        if (isEnough) {
          nextRevision = revision;
          break;
        }
        open = { revision, events: [] };
        revisions.push(open);
      }
      open.events.push(eventOf(key, value));
      bytes += value.length;
    }
    cursor.close();
    return { revisions, nextRevision };
  }

  keyValueAt(key: Uint8Array, revision: Revision): Uint8Array | undefined {
    if (revision < this.#state.compactRevision) return undefined;
    const version = liveVersionAt(this.#reader, key, revision);
    return version === undefined ? undefined : recordAt(this.#reader, version);
  }
}

function eventOf(recordKey: Uint8Array, record: Uint8Array): WatchEvent {
  const key = keyOfRecord(record);
  const modRevision = mainOf(recordKey);
  return isTombstoneKey(recordKey)
    ? { type: "delete", key, modRevision, kv: deleteEventKv(key, modRevision) }
    : { type: "put", key, modRevision, kv: record };
}
