import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { hexId, nodeId } from "../lib/ids.ts";
import { bootstrapClusterId, bootstrapMemberId } from "./identity.ts";
import { decodeMember, encodeMember, type Member } from "./member.ts";
import { encodeV2Document } from "./v2-document.ts";

const sha1 = (bytes: Uint8Array): Uint8Array => createHash("sha1").update(bytes).digest();

const member: Member = {
  id: nodeId(13668033151171901709n),
  name: "default",
  peerUrls: ["http://127.0.0.1:23801"],
  clientUrls: ["http://127.0.0.1:23791"],
  isLearner: false,
};

test("ids equal those that etcd 3.6.14 derived from the same flags", () => {
  const id = bootstrapMemberId(member.peerUrls, "etcd-cluster", sha1);
  assert.equal(hexId(id), "bdae9bbc11dd390d");
  assert.equal(hexId(bootstrapClusterId([id], sha1)), "d1cfaf999eb97a2a");
});

test("the order in which peer URLs and members are given changes no id", () => {
  const urls = ["http://b:2380", "http://a:2380"];
  assert.equal(bootstrapMemberId(urls, "t", sha1), bootstrapMemberId([...urls].reverse(), "t", sha1));
  const ids = [nodeId(2n), nodeId(0xf000000000000000n), nodeId(1n)];
  assert.equal(bootstrapClusterId(ids, sha1), bootstrapClusterId([...ids].reverse(), sha1));
});

test("a member's document has etcd's bytes", () => {
  assert.equal(
    encodeMember(member),
    '{"id":13668033151171901709,"peerURLs":["http://127.0.0.1:23801"],"name":"default","clientURLs":["http://127.0.0.1:23791"]}',
  );
  assert.equal(
    encodeMember({ ...member, name: "", clientUrls: [], isLearner: true }),
    '{"id":13668033151171901709,"peerURLs":["http://127.0.0.1:23801"],"isLearner":true}',
  );
  assert.match(encodeMember({ ...member, name: "a<b&\u2028" }), /"name":"a\\u003cb\\u0026\\u2028"/);
});

test("an id above 2^53 survives reading and writing", () => {
  const read = decodeMember(encodeMember(member));
  assert.equal(read.id, member.id);
  assert.deepEqual({ ...read }, { ...member, isPromote: false });
});

test("text that is no member is refused with the text in the error", () => {
  assert.throws(() => decodeMember('{"id":"x"}'), /expected an integer id: \{"id":"x"\}/);
  assert.throws(() => decodeMember("[1]"), /expected an integer id/);
  assert.throws(() => decodeMember('{"id":1,"peerURLs":[3]}'), /expected a string/);
});

test("the v2 document holds every member's attributes and the version", () => {
  const document = JSON.parse(
    encodeV2Document([member, { ...member, id: nodeId(1n), isLearner: true }], "3.6.0"),
  );
  const members = document.Root.Children["0"].Children.members.Children;
  assert.deepEqual(Object.keys(members).sort(), ["1", "bdae9bbc11dd390d"]);
  assert.equal(
    members["1"].Children.raftAttributes.Value,
    '{"peerURLs":["http://127.0.0.1:23801"],"isLearner":true}',
  );
  assert.equal(
    members["bdae9bbc11dd390d"].Children.attributes.Value,
    '{"name":"default","clientURLs":["http://127.0.0.1:23791"]}',
  );
  assert.equal(document.Root.Children["0"].Children.version.Value, "3.6.0");
  assert.equal(document.WatcherHub.EventHistory.Queue.Events.length, 1000);
});
