// A gRPC client that compares: raw bytes over grpc-js, decoded by the tables of messages.ts. Errors are outcomes
// like answers are, with code and text.
import {
  type ChannelCredentials,
  type Client,
  type ClientDuplexStream,
  credentials,
  Metadata,
  makeGenericClientConstructor,
} from "@grpc/grpc-js";
import { must } from "../../node/lib/assert.ts";
import { decode, encode, type InputMessage, type Message } from "./messages.ts";

export type Outcome =
  | { readonly ok: true; readonly response: Message }
  | { readonly ok: false; readonly code: number; readonly text: string };

interface Method {
  readonly path: string;
  readonly request: string;
  readonly response: string;
}

function method(
  service: string,
  name: string,
  request = `${name}Request`,
  response = `${name}Response`,
): Method {
  return { path: `/etcdserverpb.${service}/${name}`, request, response };
}

const methods: Readonly<Record<string, Method>> = {
  Range: method("KV", "Range"),
  Put: method("KV", "Put"),
  DeleteRange: method("KV", "DeleteRange"),
  Txn: method("KV", "Txn"),
  Compact: method("KV", "Compact", "CompactionRequest", "CompactionResponse"),
  LeaseGrant: method("Lease", "LeaseGrant"),
  LeaseRevoke: method("Lease", "LeaseRevoke"),
  LeaseTimeToLive: method("Lease", "LeaseTimeToLive"),
  LeaseLeases: method("Lease", "LeaseLeases"),
  MemberAdd: method("Cluster", "MemberAdd"),
  MemberRemove: method("Cluster", "MemberRemove"),
  MemberUpdate: method("Cluster", "MemberUpdate"),
  MemberPromote: method("Cluster", "MemberPromote"),
  MemberList: method("Cluster", "MemberList"),
  MoveLeader: method("Maintenance", "MoveLeader"),
  Downgrade: method("Maintenance", "Downgrade"),
  Alarm: method("Maintenance", "Alarm"),
  Defragment: method("Maintenance", "Defragment"),
  Status: method("Maintenance", "Status"),
  Hash: method("Maintenance", "Hash"),
  HashKV: method("Maintenance", "HashKV"),
};

const maxMessageBytes = 512 * 1024 * 1024;
const callTimeoutMs = 30_000;

function pass(bytes: Buffer): Buffer {
  return bytes;
}

function metadataOf(fields: Readonly<Record<string, string>>): Metadata {
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(fields)) metadata.set(name, value);
  return metadata;
}

export class TestClient {
  readonly #client: Client;
  readonly #timeoutMs: number;

  /** `timeoutMs`: the deadline of every call. `channel`: in clear text unless it says otherwise. */
  constructor(
    endpoint: string,
    timeoutMs = callTimeoutMs,
    channel: ChannelCredentials = credentials.createInsecure(),
  ) {
    this.#timeoutMs = timeoutMs;
    const Generic = makeGenericClientConstructor({}, "generic");
    this.#client = new Generic(endpoint, channel, {
      "grpc.max_receive_message_length": maxMessageBytes,
      "grpc.max_send_message_length": maxMessageBytes,
      "grpc.enable_retries": 0,
      "grpc.use_local_subchannel_pool": 1,
    }) as unknown as Client;
  }

  /** `metadata` are further headers of the call. */
  call(
    name: string,
    request: InputMessage,
    metadata: Readonly<Record<string, string>> = {},
  ): Promise<Outcome> {
    const {
      path,
      request: requestType,
      response: responseType,
    } = must(methods[name], "the method is known", { name });
    const deadline = Date.now() + this.#timeoutMs;
    return new Promise((resolve) => {
      this.#client.makeUnaryRequest(
        path,
        pass,
        pass,
        encode(requestType, request),
        metadataOf(metadata),
        { deadline },
        (error, bytes) => {
          if (error !== null) resolve({ ok: false, code: error.code, text: error.details });
          else resolve({ ok: true, response: decode(responseType, bytes ?? Buffer.alloc(0)) });
        },
      );
    });
  }

  stream(
    path: string,
    request: string,
    response: string,
    metadata: Readonly<Record<string, string>> = {},
  ): TestStream {
    const call = this.#client.makeBidiStreamRequest(path, pass, pass, metadataOf(metadata));
    return new TestStream(call, request, response);
  }

  watch(metadata: Readonly<Record<string, string>> = {}): TestStream {
    return this.stream("/etcdserverpb.Watch/Watch", "WatchRequest", "WatchResponse", metadata);
  }

  keepAlive(metadata: Readonly<Record<string, string>> = {}): TestStream {
    return this.stream(
      "/etcdserverpb.Lease/LeaseKeepAlive",
      "LeaseKeepAliveRequest",
      "LeaseKeepAliveResponse",
      metadata,
    );
  }

  close(): void {
    this.#client.close();
  }
}

/** A two-way stream that keeps everything it received. */
export class TestStream {
  readonly received: Message[] = [];
  /** How the stream ended, if it did. */
  ended: { readonly code: number; readonly text: string } | undefined;
  readonly #call: ClientDuplexStream<Buffer, Buffer>;
  readonly #requestType: string;
  #wake: () => void = () => {};

  constructor(call: ClientDuplexStream<Buffer, Buffer>, requestType: string, responseType: string) {
    this.#call = call;
    this.#requestType = requestType;
    call.on("data", (bytes: Buffer) => {
      this.received.push(decode(responseType, bytes));
      this.#wake();
    });
    call.on("error", (error: Error & { code?: number; details?: string }) => {
      this.ended = { code: error.code ?? 2, text: error.details ?? error.message };
      this.#wake();
    });
    call.on("end", () => {
      this.ended ??= { code: 0, text: "" };
      this.#wake();
    });
  }

  send(request: InputMessage): void {
    this.#call.write(encode(this.#requestType, request));
  }

  /** Waits until `enough` holds for what was received. False after the time is up or the stream has ended. */
  async until(enough: (received: readonly Message[]) => boolean, timeoutMs: number): Promise<boolean> {
    const end = performance.now() + timeoutMs;
    while (!enough(this.received)) {
      const left = end - performance.now();
      if (this.ended !== undefined || left <= 0) return false;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    return true;
  }

  cancel(): void {
    this.#call.cancel();
  }
}
