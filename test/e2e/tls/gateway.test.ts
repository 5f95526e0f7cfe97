// The JSON gateway over TLS, where etcd has it over HTTP/2 as well: both kinds of member are asked the same.
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { connect } from "node:http2";
import { test } from "node:test";
import { WebSocket } from "ws";
import { type Bed, curl, type Identity, makeBed, secureFlags, startSecure } from "./bed.ts";

const timeout = 120_000;
const put = `{"key":"Zm9v","value":"YmFy"}`;

for (const kind of ["etcd", "etcdlike"] as const) {
  test(`${kind}: JSON over HTTP/1.1 and HTTP/2, for clients with a certificate`, { timeout }, async (t) => {
    const bed = await makeBed(t);
    const [member] = await startSecure(t, [kind], () => secureFlags(bed));
    assert.ok(member !== undefined);
    const url = `https://${member.endpoint}/v3/kv`;
    const known: Identity = { ca: bed.ca.caFile, pair: bed.client };
    for (const version of ["1.1", "2"]) {
      const options = [`--http${version}`, "--write-out", " %{http_version} %{content_type}"];
      assert.match(
        await curl(known, ...options, `${url}/put`, "-d", put),
        new RegExp(` ${version} application/json$`),
      );
      assert.match(await curl(known, ...options, `${url}/range`, "-d", `{"key":"Zm9v"}`), /"value":"YmFy"/);
      assert.match(await curl(known, ...options, `${url}/range`, "-d", "{"), /unexpected EOF/);
      await assert.rejects(curl({ ca: bed.ca.caFile }, ...options, `${url}/range`, "-d", "{}"));
    }
  });

  test(`${kind}: a watch over HTTP/2 takes requests and gives events at once`, { timeout }, async (t) => {
    const bed = await makeBed(t);
    const [member] = await startSecure(t, [kind], () => secureFlags(bed));
    assert.ok(member !== undefined);
    const session = connect(`https://${member.endpoint}`, await credentialsOf(bed));
    t.after(() => session.destroy());
    const stream = session.request({ ":method": "POST", ":path": "/v3/watch" }, { endStream: false });
    let said = "";
    stream.on("data", (chunk) => {
      said += chunk;
    });
    const hears = async (pattern: RegExp): Promise<void> => {
      while (!pattern.test(said)) await once(stream, "data");
    };
    stream.write(`{"create_request":{"key":"Zm9v"}}`);
    await hears(/"created":true/);
    await curl({ ca: bed.ca.caFile, pair: bed.client }, `https://${member.endpoint}/v3/kv/put`, "-d", put);
    await hears(/"events":\[\{"kv":\{"key":"Zm9v"/);
    stream.write(`{"create_request":{"key":"Zm9v","watch_id":"7"}}`);
    await hears(/"watch_id":"7","created":true/);
    stream.end(`{"cancel_request":{"watch_id":"7"}}`);
    await hears(/"watch_id":"7","canceled":true/);
  });

  test(`${kind}: a watch over a WebSocket, for clients with a certificate`, { timeout }, async (t) => {
    const bed = await makeBed(t);
    const [member] = await startSecure(t, [kind], () => secureFlags(bed));
    assert.ok(member !== undefined);
    const { ca } = await credentialsOf(bed);
    const url = `wss://${member.endpoint}/v3/watch`;
    await assert.rejects(once(new WebSocket(url, { ca }), "open"));
    const socket = new WebSocket(url, await credentialsOf(bed));
    t.after(() => socket.terminate());
    await once(socket, "open");
    socket.send(`{"create_request":{"key":"Zm9v"}}`);
    assert.match(String((await once(socket, "message"))[0]), /"created":true/);
    const event = once(socket, "message");
    await curl({ ca: bed.ca.caFile, pair: bed.client }, `https://${member.endpoint}/v3/kv/put`, "-d", put);
    assert.match(String((await event)[0]), /"events":\[\{"kv":\{"key":"Zm9v"/);
  });
}

async function credentialsOf({ ca, client }: Bed) {
  return {
    ca: await readFile(ca.caFile),
    cert: await readFile(client.certFile),
    key: await readFile(client.keyFile),
  };
}
