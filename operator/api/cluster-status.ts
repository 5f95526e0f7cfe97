// status of EtcdLikeCluster: what is, and the record of the one change in flight.
import { conditions } from "./conditions.ts";
import { boolean, dateTime, type Infer, integer, list, object, oneOf, optional, string } from "./schema.ts";
import { certificatesStatus } from "./tls-status.ts";

const name = (description: string) => string({ description, maxLength: 253 });
const count = (description: string) => integer({ description, minimum: 0 });
const large = (description: string) => integer({ description, minimum: 0, format: "int64" });
/** Ids are 64-bit and would lose digits as JSON numbers. */
const id = (description: string) => string({ description, maxLength: 16, pattern: "^[0-9a-f]*$" });

const memberStatus = object(
  {
    name: name("Name of the member, its EtcdLikeMember and its Pod."),
    id: optional(id("Member id in hexadecimal.")),
    nodeName: optional(name("Node its Pod is on.")),
    role: optional(oneOf(["Leader", "Follower", "Learner"], { description: "Its part in the cluster." })),
    health: oneOf(["Healthy", "Starting", "Unreachable", "Lagging", "Failed", "Stopped"], {
      description:
        "Healthy answers linearizable reads; Lagging only local ones; Failed ended with a reason that a restart does not cure.",
    }),
    reason: optional(string({ description: "Why it is not healthy.", maxLength: 256 })),
    since: dateTime("Since when it is healthy, or is not."),
    version: optional(name("Version it says it runs.")),
    dbSizeBytes: optional(large("Size of its store.")),
    dbInUseBytes: optional(large("Used part of its store.")),
    raftIndex: optional(large("Last index of its log.")),
    alarms: optional(
      list(name("Alarm, as etcd calls it."), { description: "Alarms raised for it.", maxItems: 4 }),
    ),
  },
  { description: "One member as it was last seen." },
);

export type MemberStatus = Infer<typeof memberStatus>;

const operation = object(
  {
    type: oneOf(["Bootstrap", "Add", "Replace", "Remove", "Update", "Defragment", "Adopt", "Restore"], {
      description: "What is being done.",
    }),
    member: name("The member it is done to."),
    replacement: optional(name("The new member, when one takes another's place.")),
    runUid: optional(name("The uid of the EtcdLikeRestore.")),
    run: optional(name("The EtcdLikeDefrag or EtcdLikeRestore it is part of.")),
    clusterId: optional(id("The former cluster whose volumes are taken over.")),
    startedAt: dateTime("When it was recorded, before its first step."),
    holder: name("Identity of the operator that recorded it."),
    order: optional(
      oneOf(["LearnerFirst", "RemoveFirst"], {
        description: "Whether the old member leaves after or before the new one has caught up.",
      }),
    ),
    isAbandoned: optional(boolean({ description: "The joining member is being taken back." })),
    reason: string({ description: "Why it is done.", maxLength: 256 }),
    message: optional(string({ description: "What it waits for.", maxLength: 1024 })),
  },
  { description: "The one change in flight. It is recorded before anything is done." },
);

export type Operation = Infer<typeof operation>;

export const clusterStatus = object(
  {
    observedGeneration: optional(large("metadata.generation this status was made from.")),
    replicas: optional(count("Number of members there are.")),
    readyReplicas: optional(count("Number of members that are healthy.")),
    updatedReplicas: optional(count("Number of members that run what spec says.")),
    votingMembers: optional(count("Number of voters in the live member list.")),
    learners: optional(count("Number of learners in the live member list.")),
    quorum: optional(
      string({
        description: "Healthy voters, how many are needed, and how many more may fail, as H/N (+T).",
        maxLength: 32,
      }),
    ),
    selector: optional(string({ description: "Label selector of the Pods, for scale.", maxLength: 512 })),
    clusterId: optional(
      id("Cluster id in hexadecimal. Once set, no member is ever started as a new cluster."),
    ),
    clusterToken: optional(name("The initial cluster token.")),
    leader: optional(name("Name of the leader.")),
    currentVersion: optional(name("Lowest version that a member runs.")),
    lastProbeTime: optional(dateTime("When the members were last asked.")),
    incarnations: optional(large("How many member names were ever given out.")),
    members: optional(list(memberStatus, { description: "Every member.", maxItems: 20, keys: ["name"] })),
    certificates: optional(certificatesStatus),
    operation: optional(operation),
    lastRestore: optional(
      object(
        {
          name: name("Name of the EtcdLikeRestore."),
          uid: name("Its uid."),
          completedAt: dateTime("When it ended."),
        },
        { description: "The last restore in place." },
      ),
    ),
    retryAfter: optional(dateTime("No further member is added before; set when one did not join in time.")),
    replacedAt: optional(
      list(dateTime("When a replacement began."), {
        description: "Replacements of the last hour.",
        maxItems: 20,
      }),
    ),
    defragmentedAt: optional(dateTime("When the last defragmentation of a member began.")),
    conditions: optional(conditions),
  },
  { description: "The cluster as it is." },
);

export type ClusterStatus = Infer<typeof clusterStatus>;
