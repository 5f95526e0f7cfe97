// POST /raft/snapshot: a leader sends its store. The file is spooled through a port, compared with the sender's digest
// where it gave one, and made ready to be installed; only then Raft hears of it and the sender gets its answer.

import { createHash } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { hexId } from "../lib/ids.ts";
import { WireError } from "../wire/error.ts";
import type { Message } from "../wire/raft.ts";
import { raftCodecs } from "../wire/raft-codec.ts";
import { answerError, refusesMethod } from "./answers.ts";
import { ByteQueue } from "./byte-queue.ts";
import { headerOf } from "./compatibility.ts";
import { errorText } from "./peer-status.ts";
import { noteSender, refusesMessage, refusesStranger } from "./raft-routes.ts";
import type { PeerSettings } from "./settings.ts";
import { digestTrailer, sizeHeader } from "./snapshot-sender.ts";
import type { Transport } from "./transport.ts";

const unknownSender = "UNKNOWN_SNAPSHOT_SENDER";
const lengthBytes = 8;
/** A snapshot that brings less within the time it may stand still stands still: a slow network takes a moment for it. */
const movedBytes = 64 * 1024;

export async function serveSnapshot(
  transport: Transport,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { settings } = transport;
  const { clock, limits, metrics, raft } = settings;
  if (refusesMethod(request, response, "POST") || refusesStranger(transport, request, response)) {
    metrics.snapshotReceiveRefused(unknownSender);
    return;
  }
  noteSender(transport, request);
  const startMs = clock.nowMs();
  const body = new MovingBody(request, settings);
  const queue = new ByteQueue();
  const message = await readMessage(body, queue, limits.snapshotMessageBytesMax).catch(
    (error: Error) => error,
  );
  if (message instanceof Error) {
    metrics.receivedFailure(request.socket.remoteAddress ?? "unknown");
    metrics.snapshotReceiveRefused(unknownSender);
    refuse(settings, response, 400, `failed to decode raft message (${message.message})`);
    return;
  }
  const from = hexId(message.from);
  if (message.type !== "MsgSnap") {
    metrics.snapshotReceiveRefused(from);
    refuse(settings, response, 400, "wrong raft message type");
    return;
  }
  if (refusesMessage(transport, message, response)) return;
  metrics.snapshotReceiveStarted(from);
  const failure = await receive(settings, { request, message, body, queue }).catch((error: Error) => error);
  if (failure !== undefined) {
    metrics.snapshotReceiveEnded(from, undefined);
    refuse(settings, response, 500, `failed to save KV snapshot (${errorText(failure)})`);
    return;
  }
  raft.receiveUnproven(message);
  metrics.snapshotReceiveEnded(from, (clock.nowMs() - startMs) / 1000);
  response.writeHead(204).end();
}

/** A body whose sender has to go on sending. The time that its reader takes is not the sender's. */
class MovingBody {
  readonly #request: IncomingMessage;
  readonly #chunks: AsyncIterator<Uint8Array>;
  readonly #settings: PeerSettings;
  /** Waited for the sender, and what came meanwhile, since it last moved. */
  #waitedMs = 0;
  #bytes = 0;

  constructor(request: IncomingMessage, settings: PeerSettings) {
    request.setTimeout(0);
    this.#request = request;
    this.#chunks = (request as AsyncIterable<Uint8Array>)[Symbol.asyncIterator]();
    this.#settings = settings;
  }

  /** Undefined at the end. */
  async next(): Promise<Uint8Array | undefined> {
    const { clock, limits } = this.#settings;
    const startMs = clock.nowMs();
    const timer = clock.after(limits.snapshotIdleMs - this.#waitedMs, () => this.#request.destroy());
    try {
      const { done, value } = await this.#chunks.next();
      if (done === true) return undefined;
      this.#waitedMs += clock.nowMs() - startMs;
      this.#bytes += value.length;
      if (this.#bytes >= movedBytes) this.#waitedMs = this.#bytes = 0;
      return value;
    } finally {
      timer.cancel();
    }
  }
}

/** The frame that a snapshot begins with; what arrived behind it stays in the queue. */
async function readMessage(body: MovingBody, queue: ByteQueue, bytesMax: number): Promise<Message> {
  await fill(body, queue, lengthBytes);
  const length = queue.takeUint64();
  if (length === undefined || length > bytesMax) throw new Error("rafthttp: error limit exceeded");
  await fill(body, queue, length);
  return raftCodecs.Message.decode(queue.take(length));
}

async function fill(body: MovingBody, queue: ByteQueue, length: number): Promise<void> {
  while (queue.length < length) {
    const chunk = await body.next();
    if (chunk === undefined) throw new WireError(queue.length, `${length} bytes`);
    queue.push(chunk);
  }
}

/** Rejects, and lets the port clean up, unless the whole file arrived as it was sent. */
async function receive(
  settings: PeerSettings,
  {
    request,
    message,
    body,
    queue,
  }: {
    readonly request: IncomingMessage;
    readonly message: Message;
    readonly body: MovingBody;
    readonly queue: ByteQueue;
  },
): Promise<undefined> {
  const { logger, metrics, snapshots } = settings;
  if (snapshots === undefined) throw new Error("this member takes no snapshots");
  const fields = {
    "remote-snapshot-sender-id": hexId(message.from),
    "incoming-snapshot-index": message.snapshot?.metadata.index,
  };
  logger.info("receiving database snapshot", fields);
  const incoming = await snapshots.begin(message, announcedBytes(request));
  let bytes = 0;
  try {
    const hash = createHash("sha256");
    const store = async (chunk: Uint8Array): Promise<void> => {
      bytes += chunk.length;
      hash.update(chunk);
      metrics.receivedBytes(hexId(message.from), chunk.length);
      await incoming.write(chunk);
    };
    if (queue.length > 0) await store(queue.takeAll());
    for (let chunk = await body.next(); chunk !== undefined; chunk = await body.next()) await store(chunk);
    checkDigest(request, hash.digest("hex"));
  } catch (error) {
    incoming.abort();
    throw error;
  }
  await incoming.finish();
  logger.info("received and saved database snapshot", { ...fields, "incoming-snapshot-size-bytes": bytes });
  return undefined;
}

/** Undefined from a real etcd, and where it is no size. */
function announcedBytes(request: IncomingMessage): number | undefined {
  const bytes = Number(headerOf(request.headers, sizeHeader.toLowerCase()) ?? Number.NaN);
  return Number.isSafeInteger(bytes) && bytes >= 0 ? bytes : undefined;
}

/** A member of our kind announces the trailer; a real etcd sends none. */
function checkDigest(request: IncomingMessage, digest: string): void {
  const isAnnounced = headerOf(request.headers, "trailer")?.toLowerCase() === digestTrailer.toLowerCase();
  const expected = request.trailers[digestTrailer.toLowerCase()];
  if (expected === digest || (expected === undefined && !isAnnounced)) return;
  throw new Error(
    `the store was damaged on its way: SHA-256 is ${digest}, the sender's ${expected ?? "missing"}`,
  );
}

function refuse({ logger }: PeerSettings, response: ServerResponse, status: number, text: string): void {
  logger.warn("refused a database snapshot", { error: text });
  response.setHeader("Connection", "close");
  answerError(response, { status, text });
}
