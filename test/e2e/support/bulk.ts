// Many keys, written in large transactions, and large answers read without being decoded.
import {
  type Client,
  type ClientReadableStream,
  credentials,
  makeGenericClientConstructor,
} from "@grpc/grpc-js";
import type { TestClient } from "../../conformance/client.ts";
import { encode, type InputMessage } from "../../conformance/messages.ts";
import { succeed } from "./kv.ts";

const putsOfTxn = 100;
const txnsAtOnce = 4;

export function bulkKey(i: number): string {
  return `bulk/${i.toString().padStart(8, "0")}`;
}

/** Writes keys `bulkKey(0)` to `bulkKey(count - 1)`. */
export async function fill(client: TestClient, count: number, valueBytes: number): Promise<void> {
  let next = 0;
  const work = async () => {
    while (next < count) {
      const first = next;
      next = Math.min(count, first + putsOfTxn);
      const success = Array.from({ length: next - first }, (_, i) => ({
        request_put: { key: bulkKey(first + i), value: bulkValue(first + i, valueBytes) },
      }));
      await succeed(client, "Txn", { success });
    }
  };
  await Promise.all(Array.from({ length: txnsAtOnce }, work));
}

/** Differs from key to key, and does not compress to nothing. */
function bulkValue(seed: number, bytes: number): Uint8Array {
  const value = new Uint8Array(bytes);
  let state = seed + 1;
  for (let i = 0; i < bytes; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    value[i] = state >>> 24;
  }
  return value;
}

export const wholeBulk = { key: "bulk/", range_end: "bulk0" };

/** Reads ranges as bytes and counts them. */
export class RawReader {
  readonly #client: Client;

  constructor(endpoint: string) {
    const Generic = makeGenericClientConstructor({}, "generic");
    this.#client = new Generic(endpoint, credentials.createInsecure(), {
      "grpc.max_receive_message_length": -1,
      "grpc.use_local_subchannel_pool": 1,
    }) as unknown as Client;
  }

  /** Bytes of the answer to one Range over the bulk keys. */
  range(options: InputMessage = {}): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        "/etcdserverpb.KV/Range",
        pass,
        pass,
        encode("RangeRequest", { ...wholeBulk, ...options }),
        { deadline: Date.now() + 120_000 },
        (error, bytes) => (error === null ? resolve(bytes?.length ?? 0) : reject(error)),
      );
    });
  }

  /** Bytes of all chunks of a RangeStream over the bulk keys. */
  async rangeStream(): Promise<number> {
    const call: ClientReadableStream<Buffer> = this.#client.makeServerStreamRequest(
      "/etcdserverpb.KV/RangeStream",
      pass,
      pass,
      encode("RangeRequest", wholeBulk),
    );
    let bytes = 0;
    for await (const chunk of call) bytes += (chunk as Buffer).length;
    return bytes;
  }

  close(): void {
    this.#client.close();
  }
}

function pass(bytes: Buffer): Buffer {
  return bytes;
}
