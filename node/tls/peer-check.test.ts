// What a member asks of the certificates of those it connects to.

import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLogger } from "../lib/log.ts";
import { connectWith } from "./connect.ts";
import { Credentials } from "./credentials.ts";
import type { TlsSettings } from "./settings.ts";
import { Authority } from "./testing/authority.ts";
import { type Bed, makeBed, serve } from "./testing/bed.ts";

/** What a peer that connects with these settings reads until the end, or why it turned away. */
async function dial(bed: Bed, port: number, changes: Partial<TlsSettings>): Promise<string> {
  const credentials = await Credentials.open({ ...bed.settings, ...changes }, "client", silentLogger);
  const socket = connectWith(credentials)(new URL(`https://127.0.0.1:${port}`));
  return socket.toArray().then(
    (chunks) => Buffer.concat(chunks).toString(),
    (error: Error) => `turned away: ${error.message}`,
  );
}

test("a peer that is connected to has to have one of the names that are allowed", async (t) => {
  const bed = await makeBed(t);
  const port = await serve(t, bed);
  const refusal = "turned away: client certificate authentication failed";
  assert.equal(await dial(bed, port, { allowedCns: ["root", "server"] }), "hello http/1.1");
  assert.equal(await dial(bed, port, { allowedCns: ["root"] }), refusal);
  assert.equal(await dial(bed, port, { allowedHostnames: ["127.0.0.1"] }), "hello http/1.1");
  assert.equal(await dial(bed, port, { allowedHostnames: ["root.example"] }), refusal);
});

test("a peer whose certificate is another address's is turned away from", async (t) => {
  const bed = await makeBed(t);
  const elsewhere = await bed.ca.issue({ name: "elsewhere", hosts: ["192.0.2.1"] });
  const port = await serve(t, bed, elsewhere);
  assert.match(await dial(bed, port, {}), /^turned away: .*127\.0\.0\.1 is not in the cert's list/);
  const other = await Authority.create(bed.folder, "other");
  assert.match(await dial(bed, port, { trustedCaFile: other.caFile }), /^turned away/);
});
