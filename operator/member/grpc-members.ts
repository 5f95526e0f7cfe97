// The adapter: etcd's gRPC API over grpc-js. Connections are kept by address and credentials, and closed when unused.
import { createHash } from "node:crypto";
import {
  create,
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import {
  type ChannelCredentials,
  type Client,
  credentials,
  makeGenericClientConstructor,
  type ServiceError,
} from "@grpc/grpc-js";
import {
  AlarmRequest_AlarmAction,
  AlarmRequestSchema,
  AlarmResponseSchema,
  AlarmType,
  DefragmentRequestSchema,
  DefragmentResponseSchema,
  MemberAddRequestSchema,
  MemberAddResponseSchema,
  MemberListRequestSchema,
  MemberListResponseSchema,
  MemberPromoteRequestSchema,
  MemberPromoteResponseSchema,
  MemberRemoveRequestSchema,
  MemberRemoveResponseSchema,
  MoveLeaderRequestSchema,
  MoveLeaderResponseSchema,
  StatusRequestSchema,
  StatusResponseSchema,
} from "../../proto/gen/etcdserverpb/rpc_pb.ts";
import type { Probe, Roster } from "../model/observation.ts";
import { LongCalls } from "./long-calls.ts";
import {
  type Answer,
  codes,
  type Defragmentation,
  type Endpoint,
  MemberError,
  type Members,
} from "./port.ts";

const askTimeoutMs = 5_000;
const changeTimeoutMs = 10_000;
const connectionsMax = 1_000;
// The run that asks for it has its own, shorter limit; this one only ends a call that nobody waits for.
const defragmentTimeoutMs = 24 * 3_600_000;
const defragmentWaitMs = 5_000;

interface Method<I extends DescMessage, O extends DescMessage> {
  readonly path: string;
  readonly request: I;
  readonly response: O;
}

function method<I extends DescMessage, O extends DescMessage>(
  path: string,
  request: I,
  response: O,
): Method<I, O> {
  return { path: `/etcdserverpb.${path}`, request, response };
}

const methods = {
  status: method("Maintenance/Status", StatusRequestSchema, StatusResponseSchema),
  list: method("Cluster/MemberList", MemberListRequestSchema, MemberListResponseSchema),
  add: method("Cluster/MemberAdd", MemberAddRequestSchema, MemberAddResponseSchema),
  promote: method("Cluster/MemberPromote", MemberPromoteRequestSchema, MemberPromoteResponseSchema),
  remove: method("Cluster/MemberRemove", MemberRemoveRequestSchema, MemberRemoveResponseSchema),
  moveLeader: method("Maintenance/MoveLeader", MoveLeaderRequestSchema, MoveLeaderResponseSchema),
  defragment: method("Maintenance/Defragment", DefragmentRequestSchema, DefragmentResponseSchema),
  alarm: method("Maintenance/Alarm", AlarmRequestSchema, AlarmResponseSchema),
} as const;

export class GrpcMembers implements Members {
  readonly #connections = new Map<string, Client>();
  readonly #defragmentations = new LongCalls(defragmentWaitMs);

  async ask(at: Endpoint): Promise<Answer> {
    try {
      const status = await this.#call(at, methods.status, {}, askTimeoutMs);
      const roster = await this.#roster(at, status.errors);
      const probe: Probe = {
        isAnswered: true,
        clusterId: hex(status.header?.clusterId ?? 0n),
        memberId: hex(status.header?.memberId ?? 0n),
        leaderId: hex(status.leader),
        isLearner: status.isLearner,
        isParticipating: roster !== undefined,
        raftIndex: Number(status.raftIndex),
        version: status.version,
        dbSizeBytes: Number(status.dbSize),
        dbInUseBytes: Number(status.dbSizeInUse),
        dbQuotaBytes: Number(status.dbSizeQuota),
      };
      return { probe, ...(roster === undefined ? {} : { roster }) };
    } catch (error) {
      return { probe: { isAnswered: false, error: reasonOf(error) } };
    }
  }

  /** Linearizable, so it is also the question whether a quorum stands behind this member. */
  async #roster(at: Endpoint, errors: readonly string[]): Promise<Roster | undefined> {
    try {
      const list = await this.#call(at, methods.list, { linearizable: true }, askTimeoutMs);
      return {
        clusterId: hex(list.header?.clusterId ?? 0n),
        members: list.members.map((member) => ({
          id: hex(member.ID),
          name: member.name,
          peerUrl: member.peerURLs[0] ?? "",
          isLearner: member.isLearner,
        })),
        alarms: alarmsOf(errors),
      };
    } catch (error) {
      if (error instanceof MemberError) return undefined;
      throw error;
    }
  }

  async addLearner(at: Endpoint, peerUrl: string): Promise<void> {
    await this.#call(at, methods.add, { peerURLs: [peerUrl], isLearner: true }, changeTimeoutMs);
  }

  async promote(at: Endpoint, id: string): Promise<void> {
    await this.#call(at, methods.promote, { ID: BigInt(`0x${id}`) }, changeTimeoutMs);
  }

  async remove(at: Endpoint, id: string): Promise<void> {
    await this.#call(at, methods.remove, { ID: BigInt(`0x${id}`) }, changeTimeoutMs);
  }

  async moveLeader(at: Endpoint, toId: string): Promise<void> {
    await this.#call(at, methods.moveLeader, { targetID: BigInt(`0x${toId}`) }, changeTimeoutMs);
  }

  async defragment(at: Endpoint): Promise<Defragmentation> {
    const outcome = await this.#defragmentations.joinOrStart(at.address, async () => {
      await this.#call(at, methods.defragment, {}, defragmentTimeoutMs);
    });
    if (!outcome.isOver || outcome.error === undefined) return outcome;
    const { error } = outcome;
    // Begun by an operator that is gone; or the member went away meanwhile, and is asked again when it is back.
    const isToCome =
      error instanceof MemberError &&
      (error.text.includes("another defragmentation") || error.code === codes.unavailable);
    if (isToCome) return { isOver: false };
    return { isOver: true, problem: reasonOf(error) };
  }

  async disarmNoSpace(at: Endpoint, id: string): Promise<void> {
    const action = AlarmRequest_AlarmAction.DEACTIVATE;
    const message = { action, memberID: BigInt(`0x${id}`), alarm: AlarmType.NOSPACE };
    await this.#call(at, methods.alarm, message, changeTimeoutMs);
  }

  close(): void {
    for (const client of this.#connections.values()) client.close();
    this.#connections.clear();
  }

  async #call<I extends DescMessage, O extends DescMessage>(
    at: Endpoint,
    { path, request, response }: Method<I, O>,
    message: MessageInitShape<I>,
    timeoutMs: number,
  ): Promise<MessageShape<O>> {
    const client = this.#connection(at);
    return new Promise((resolve, reject) => {
      client.makeUnaryRequest(
        path,
        (bytes: Buffer) => bytes,
        (bytes: Buffer) => fromBinary(response, bytes),
        Buffer.from(toBinary(request, create(request, message))),
        { deadline: Date.now() + timeoutMs },
        (error: ServiceError | null, value?: MessageShape<O>) => {
          if (error !== null) reject(new MemberError(error.code, error.details, `${path} at ${at.address}`));
          else resolve(value as MessageShape<O>);
        },
      );
    });
  }

  #connection(at: Endpoint): Client {
    // Other credentials need another connection; the one before falls out as the least used.
    const key = keyOf(at);
    const known = this.#connections.get(key);
    if (known !== undefined) {
      // The most recently used come last.
      this.#connections.delete(key);
      this.#connections.set(key, known);
      return known;
    }
    const Generic = makeGenericClientConstructor({}, "member");
    const client = new Generic(at.address, credentialsOf(at), {
      ...(at.tls === undefined ? {} : { "grpc.ssl_target_name_override": at.tls.serverName }),
      "grpc.enable_retries": 0,
      "grpc.keepalive_time_ms": 30_000,
      "grpc.initial_reconnect_backoff_ms": 500,
      "grpc.max_reconnect_backoff_ms": 3_000,
    }) as unknown as Client;
    this.#connections.set(key, client);
    for (const [oldest, unused] of this.#connections) {
      if (this.#connections.size <= connectionsMax) break;
      unused.close();
      this.#connections.delete(oldest);
    }
    return client;
  }
}

function credentialsOf({ tls }: Endpoint): ChannelCredentials {
  if (tls === undefined) return credentials.createInsecure();
  return credentials.createSsl(Buffer.from(tls.caPem), Buffer.from(tls.keyPem), Buffer.from(tls.certPem));
}

function keyOf({ address, tls }: Endpoint): string {
  if (tls === undefined) return address;
  const secrets = [tls.serverName, tls.caPem, tls.certPem, tls.keyPem].join("\n");
  return `${address} ${createHash("sha256").update(secrets).digest("hex")}`;
}

function hex(id: bigint): string {
  return id.toString(16);
}

/** The same words as long as nothing changes: they stand in a status, and gRPC's own carry durations. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof MemberError)) return error instanceof Error ? error.message : String(error);
  if (error.code === codes.deadlineExceeded) return `no answer within ${askTimeoutMs / 1000} s`;
  if (error.code === codes.unavailable) return "it cannot be reached";
  return error.text;
}

/** Status carries alarms as texts such as "memberID:123 alarm:NOSPACE ". */
export function alarmsOf(errors: readonly string[]): Roster["alarms"] {
  return errors.flatMap((text) => {
    const found = /memberID:(\d+)\s+alarm:(\w+)/.exec(text);
    if (found?.[1] === undefined || found[2] === undefined) return [];
    return [{ memberId: hex(BigInt(found[1])), alarm: found[2] }];
  });
}
