// Takes a snapshot from a member and puts it where it is kept, without a copy on the way.

import type { Logger } from "../lib/log.ts";
import { chooseMember } from "./choose-member.ts";
import { type Digest, DigestOf, digestOf } from "./digest.ts";
import { MemberClient, type MemberStatus, type MemberTls } from "./member-client.ts";
import type { ArtifactStore } from "./store.ts";

export interface Uploaded extends Digest {
  /** Undefined when an earlier attempt had put it there and this one only read it. */
  readonly member: MemberStatus | undefined;
}

export interface UploadOptions {
  readonly store: ArtifactStore;
  readonly endpoints: readonly string[];
  readonly tls: MemberTls | undefined;
  readonly log: Logger;
}

/** Rejects with an Error; nothing is at the artifact's place then that was not there before. */
export async function upload(options: UploadOptions): Promise<Uploaded> {
  const { store, tls, log } = options;
  // The place is this snapshot's own: what is there came whole from an attempt that could not report it any more.
  if (await store.exists()) return { ...(await digestOf(store.read())), member: undefined };
  const member = await memberToAsk(options);
  log.info("taking a snapshot", { endpoint: member.endpoint, "is-leader": member.isLeader });
  const client = new MemberClient(member.endpoint, tls);
  try {
    const digest = new DigestOf();
    const isWritten = await store.write(digest.through(client.snapshot()));
    if (!isWritten) return { ...(await digestOf(store.read())), member: undefined };
    return { ...digest.result(), member };
  } finally {
    client.close();
  }
}

async function memberToAsk({ endpoints, tls }: UploadOptions): Promise<MemberStatus> {
  const asked = await Promise.allSettled(endpoints.map((endpoint) => statusOf(endpoint, tls)));
  const chosen = chooseMember(asked.flatMap((one) => (one.status === "fulfilled" ? [one.value] : [])));
  if (chosen !== undefined) return chosen;
  const reasons = asked.map((one, i) =>
    one.status === "rejected"
      ? String((one.reason as Error).message)
      : `${endpoints[i]} has no leader or does not vote`,
  );
  throw new Error(`no member can give a snapshot: ${reasons.join("; ")}`);
}

async function statusOf(endpoint: string, tls: MemberTls | undefined): Promise<MemberStatus> {
  const client = new MemberClient(endpoint, tls);
  try {
    return await client.status();
  } finally {
    client.close();
  }
}
