// Members of many clusters in one process, which answer what an operator at rest asks, and take new members as they
// are told. One server; which member is meant says the address that is called. Started by operator.ts, which tells
// it over IPC who is where.
import { create, type DescMessage, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { Server, ServerCredentials, type ServerUnaryCall, type sendUnaryData } from "@grpc/grpc-js";
import {
  MemberAddRequestSchema,
  MemberAddResponseSchema,
  MemberListResponseSchema,
  MemberPromoteRequestSchema,
  MemberPromoteResponseSchema,
  StatusResponseSchema,
} from "../../proto/gen/etcdserverpb/rpc_pb.ts";

export interface NewMember {
  readonly address: string;
  readonly cluster: string;
  readonly name: string;
  readonly peerUrl: string;
}

interface Entry {
  readonly ID: bigint;
  name: string;
  readonly peerURLs: string[];
  isLearner: boolean;
}

interface Cluster {
  readonly id: bigint;
  readonly entries: Entry[];
}

const clusters = new Map<string, Cluster>();
const places = new Map<string, { readonly cluster: Cluster; readonly entry: Entry }>();
let ids = 1n;

function settle({ address, cluster: key, name, peerUrl }: NewMember): void {
  const cluster = clusters.get(key) ?? { id: ids++, entries: [] };
  clusters.set(key, cluster);
  const known = cluster.entries.find((one) => one.peerURLs[0] === peerUrl);
  const entry = known ?? { ID: ids++, name, peerURLs: [peerUrl], isLearner: false };
  if (known === undefined) cluster.entries.push(entry);
  entry.name = name;
  places.set(address, { cluster, entry });
}

function headerOf(cluster: Cluster, entry: Entry) {
  return { clusterId: cluster.id, memberId: entry.ID, revision: 1n, raftTerm: 2n };
}

type Handler = (cluster: Cluster, entry: Entry, request: Uint8Array) => Uint8Array;

function answer<O extends DescMessage>(schema: O, message: MessageInitShape<O>): Uint8Array {
  return toBinary(schema, create(schema, message));
}

const handlers: Readonly<Record<string, Handler>> = {
  "Maintenance/Status": (cluster, entry) =>
    answer(StatusResponseSchema, {
      header: headerOf(cluster, entry),
      version: "3.6.14",
      dbSize: 1_000_000n,
      dbSizeInUse: 900_000n,
      dbSizeQuota: 2_147_483_648n,
      leader: cluster.entries[0]?.ID ?? 0n,
      raftIndex: 100n,
      raftTerm: 2n,
      raftAppliedIndex: 100n,
      isLearner: entry.isLearner,
    }),
  "Cluster/MemberList": (cluster, entry) =>
    answer(MemberListResponseSchema, { header: headerOf(cluster, entry), members: cluster.entries }),
  "Cluster/MemberAdd": (cluster, entry, request) => {
    const { peerURLs } = fromBinary(MemberAddRequestSchema, request);
    cluster.entries.push({ ID: ids++, name: "", peerURLs, isLearner: true });
    return answer(MemberAddResponseSchema, { header: headerOf(cluster, entry), members: cluster.entries });
  },
  "Cluster/MemberPromote": (cluster, entry, request) => {
    const { ID } = fromBinary(MemberPromoteRequestSchema, request);
    for (const one of cluster.entries) if (one.ID === ID) one.isLearner = false;
    return answer(MemberPromoteResponseSchema, {
      header: headerOf(cluster, entry),
      members: cluster.entries,
    });
  },
};

const raw = (bytes: Buffer) => bytes;
const server = new Server();
for (const [name, handler] of Object.entries(handlers)) {
  const path = `/etcdserverpb.${name}`;
  const definition = {
    path,
    requestStream: false,
    responseStream: false,
    requestSerialize: raw,
    requestDeserialize: raw,
    responseSerialize: raw,
    responseDeserialize: raw,
  } as const;
  const handle = (call: ServerUnaryCall<Buffer, Buffer>, respond: sendUnaryData<Buffer>) => {
    const place = places.get(call.getHost());
    if (place === undefined) respond(new Error(`nobody is at ${call.getHost()}`));
    else respond(null, Buffer.from(handler(place.cluster, place.entry, call.request)));
  };
  server.addService({ [path]: definition }, { [path]: handle });
}

process.on("message", (member: NewMember) => {
  settle(member);
  server.bindAsync(member.address, ServerCredentials.createInsecure(), (error) => {
    if (error !== null) throw error;
    process.send?.(member.name);
  });
});
process.on("disconnect", () => process.exit(0));
