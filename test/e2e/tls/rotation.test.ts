// Certificates and their authority are replaced while clients write: every file of every member changes under its
// name, with both authorities trusted in between. Connections that stand go on, new ones are made all the time, and
// no write fails.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { type ChannelCredentials, credentials } from "@grpc/grpc-js";
import { must } from "../../../node/lib/assert.ts";
import { Authority, type IssuedPair } from "../../../node/tls/testing/authority.ts";
import { TestClient } from "../../conformance/client.ts";
import type { Member } from "../../tools/member.ts";
import { eventually } from "../support/kv.ts";
import { scratchFolder } from "../support/scratch.ts";
import { secureFlags, startSecure } from "./bed.ts";

const timeout = 240_000;
const kinds = ["etcdlike", "etcdlike", "etcdlike"] as const;
/** Nothing of this is about elections on a busy machine. */
const calm = ["--heartbeat-interval=500", "--election-timeout=5000"];
const writesEachStep = 30;
const pauseMs = 20;

interface Identity {
  readonly trusted: string;
  readonly pair: IssuedPair;
}

function channelOf({ trusted, pair }: Identity): ChannelCredentials {
  const read = (file: string): Buffer => readFileSync(file);
  return credentials.createSsl(read(trusted), read(pair.keyFile), read(pair.certFile));
}

/** Writes to every member over connections that stand, and over a new one for each write. */
class Load {
  readonly failures: string[] = [];
  #identity: Identity;
  #standing = 0;
  #fresh = 0;
  #isStopping = false;
  readonly #lanes: Promise<void>[];

  constructor(members: readonly Member[], identity: Identity) {
    this.#identity = identity;
    this.#lanes = members.flatMap((member) => [this.#writeOn(member), this.#writeAnew(member)]);
  }

  /** New connections are made as this one from now on. */
  be(identity: Identity): void {
    this.#identity = identity;
  }

  /** Resolves when further writes of both kinds were answered. */
  async goesOn(): Promise<void> {
    const [standing, fresh] = [this.#standing + writesEachStep, this.#fresh + writesEachStep];
    const isEnough = (): boolean => this.#standing >= standing && this.#fresh >= fresh;
    await eventually("further writes", async () => isEnough() || this.failures.length > 0, timeout);
    assert.deepEqual(this.failures, []);
  }

  async stop(): Promise<string> {
    this.#isStopping = true;
    await Promise.all(this.#lanes);
    return `${this.#standing} writes over connections that stood, ${this.#fresh} over new ones`;
  }

  async #writeOn({ endpoint }: Member): Promise<void> {
    const client = new TestClient(endpoint, timeout, channelOf(this.#identity));
    while (!this.#isStopping) {
      if (await this.#write(client, endpoint)) this.#standing++;
      await delay(pauseMs);
    }
    client.close();
  }

  async #writeAnew({ endpoint }: Member): Promise<void> {
    while (!this.#isStopping) {
      const client = new TestClient(endpoint, timeout, channelOf(this.#identity));
      if (await this.#write(client, endpoint)) this.#fresh++;
      client.close();
      await delay(pauseMs);
    }
  }

  async #write(client: TestClient, endpoint: string): Promise<boolean> {
    const outcome = await client.call("Put", { key: "key", value: endpoint });
    if (!outcome.ok) this.failures.push(`${outcome.code} ${outcome.text}`);
    return outcome.ok;
  }
}

test("all certificates and their authority are replaced under load without a failed write", {
  timeout: 2 * timeout,
}, async (t) => {
  const folder = await scratchFolder(t);
  const [old, next] = [await Authority.create(folder, "old"), await Authority.create(folder, "next")];
  const bundle = join(folder, "trusted.crt");
  const trust = (...authorities: readonly Authority[]): void =>
    writeFileSync(bundle, authorities.map(({ caFile }) => readFileSync(caFile, "utf8")).join("\n"));
  const issueServers = (by: Authority): Promise<readonly IssuedPair[]> =>
    Promise.all(kinds.map((_, i) => by.issue({ name: `server${i}`, hosts: ["127.0.0.1"] })));
  trust(old);
  const servers = await issueServers(old);
  const members = await startSecure(t, kinds, (i) => [
    ...secureFlags({ ca: { caFile: bundle }, server: must(servers[i], "each has a pair") }),
    ...calm,
  ]);

  const load = new Load(members, { trusted: bundle, pair: await old.issue({ name: "client-old" }) });
  await load.goesOn();
  trust(old, next);
  await load.goesOn();
  // Key and certificate are two files: in between, the pair before stays in force.
  await issueServers(next);
  await load.goesOn();
  load.be({ trusted: bundle, pair: await next.issue({ name: "client-next" }) });
  await load.goesOn();
  trust(next);
  await load.goesOn();
  t.diagnostic(await load.stop());

  // Members know each other by the new certificates too: one that begins has to reach the others to become ready.
  for (const member of members) await member.again();
  const strangerFails = async (): Promise<boolean> => {
    const stranger = { trusted: bundle, pair: await old.issue({ name: "late" }) };
    const client = new TestClient(members[0]?.endpoint ?? "", 3_000, channelOf(stranger));
    const outcome = await client.call("Range", { key: "key" });
    client.close();
    return !outcome.ok;
  };
  assert.ok(await strangerFails(), "the old authority is trusted no more");
});
