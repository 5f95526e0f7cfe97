import assert from "node:assert/strict";
import { test } from "node:test";
import { ApiError, type ApiErrorName, apiError, apiErrors, errorCodes, rpcErrorText } from "./errors.ts";

test("every text of the table starts with etcd's prefix, but that of Go's expired deadline, and occurs once", () => {
  const texts = Object.values(apiErrors).map((entry) => entry.message);
  assert.deepEqual(
    texts.filter((text) => !text.startsWith("etcdserver: ")),
    ["context deadline exceeded"],
  );
  assert.equal(new Set(texts).size, texts.length);
});

test("a named error carries its code and text", () => {
  const expected: [ApiErrorName, number, string][] = [
    ["compacted", 11, "etcdserver: mvcc: required revision has been compacted"],
    ["leaseNotFound", 5, "etcdserver: requested lease not found"],
    ["noSpace", 8, "etcdserver: mvcc: database space exceeded"],
    ["noLeader", 14, "etcdserver: no leader"],
    ["corrupt", 15, "etcdserver: corrupt cluster"],
    ["invalidAuthToken", 16, "etcdserver: invalid auth token"],
  ];
  for (const [name, number, message] of expected) {
    const error = apiError(name);
    assert.ok(error instanceof ApiError);
    assert.equal(errorCodes.indexOf(error.code), number);
    assert.equal(error.message, message);
  }
});

test("the text of a watch's cancel reason is Go's form", () => {
  assert.equal(
    rpcErrorText(apiErrors.permissionDenied),
    "rpc error: code = PermissionDenied desc = etcdserver: permission denied",
  );
});
