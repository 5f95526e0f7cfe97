// The services and their methods, derived from the descriptors: what a server routes and a client calls.

import type { DescMessage, DescService, Message } from "@bufbuild/protobuf";
import type { GenMessage, GenService } from "@bufbuild/protobuf/codegenv2";
import * as rpc from "../../proto/gen/etcdserverpb/rpc_pb.ts";
import { Health } from "../../proto/gen/grpc/health/v1/health_pb.ts";
import { Election } from "../../proto/gen/v3electionpb/v3election_pb.ts";
import { Lock } from "../../proto/gen/v3lockpb/v3lock_pb.ts";
import { must } from "../lib/assert.ts";
import type { Codec } from "./codec.ts";
import { codecs } from "./codecs.ts";
import type { Outgoing, Plain } from "./plain.ts";
import type { SharedRangeResponse } from "./rpc.ts";

export type MethodKind = "unary" | "serverStream" | "clientStream" | "bidi";

export interface Method<RequestCodec = Codec<unknown, never>, ResponseCodec = Codec<unknown, never>> {
  /** For example `/etcdserverpb.KV/Range`. */
  readonly path: string;
  /** For example `etcdserverpb.KV`. */
  readonly service: string;
  /** For example `Range`. */
  readonly name: string;
  readonly kind: MethodKind;
  readonly request: RequestCodec;
  readonly response: ResponseCodec;
  /** What other encodings than protobuf's are made from. */
  readonly requestType: DescMessage;
  readonly responseType: DescMessage;
}

type CodecFor<Schema> =
  Schema extends GenMessage<infer M extends Message> ? Codec<Plain<M>, Outgoing<M> | SharedFormOf<M>> : never;

type SharedFormOf<M> = M extends rpc.RangeResponse ? SharedRangeResponse : never;

/** The methods of a service by their local names: `services.kv.deleteRange`. */
type MethodsOf<Service> =
  Service extends GenService<infer Shape>
    ? { readonly [K in keyof Shape]: Method<CodecFor<Shape[K]["input"]>, CodecFor<Shape[K]["output"]>> }
    : never;

const kinds = {
  unary: "unary",
  server_streaming: "serverStream",
  client_streaming: "clientStream",
  bidi_streaming: "bidi",
} as const;

export const services = {
  kv: methodsOf(rpc.KV),
  watch: methodsOf(rpc.Watch),
  lease: methodsOf(rpc.Lease),
  cluster: methodsOf(rpc.Cluster),
  maintenance: methodsOf(rpc.Maintenance),
  auth: methodsOf(rpc.Auth),
  lock: methodsOf(Lock),
  election: methodsOf(Election),
  health: methodsOf(Health),
} as const;

/** Every method of every service. */
export const methods: readonly Method[] = Object.values(services).flatMap((service) =>
  Object.values(service as Record<string, Method>),
);

export const methodByPath: ReadonlyMap<string, Method> = new Map(
  methods.map((method) => [method.path, method]),
);

function methodsOf<Service extends { readonly kind: "service" }>(service: Service): MethodsOf<Service> {
  const descriptor = service as unknown as DescService;
  const entries = descriptor.methods.map((method) => [
    method.localName,
    {
      path: `/${descriptor.typeName}/${method.name}`,
      service: descriptor.typeName,
      name: method.name,
      kind: kinds[method.methodKind],
      request: codecFor(method.input),
      response: codecFor(method.output),
      requestType: method.input,
      responseType: method.output,
    },
  ]);
  return Object.fromEntries(entries) as MethodsOf<Service>;
}

/** No two messages of the services share a name. */
function codecFor(message: DescMessage): Codec<unknown, never> {
  const byName = codecs as unknown as Readonly<Record<string, Codec<unknown, never>>>;
  return must(byName[message.name], "every message of a service has a codec", { message: message.typeName });
}
