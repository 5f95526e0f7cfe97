import assert from "node:assert/strict";
import { test } from "node:test";
import { utf8 } from "../lib/bytes.ts";
import { codecs } from "../wire/codecs.ts";
import type { RequestOp, TxnRequest } from "../wire/rpc.ts";
import { type ApiErrorName, apiErrors } from "./errors.ts";
import { checkPut, checkRange, checkTxn } from "./kv-checks.ts";

const key = utf8("k");
const put = (text: string): RequestOp => ({
  request: { case: "requestPut", value: codecs.PutRequest.create({ key: utf8(text) }) },
});
const remove = (start: string, end = ""): RequestOp => ({
  request: {
    case: "requestDeleteRange",
    value: codecs.DeleteRangeRequest.create({ key: utf8(start), rangeEnd: utf8(end) }),
  },
});
const range = (text: string): RequestOp => ({
  request: { case: "requestRange", value: codecs.RangeRequest.create({ key: utf8(text) }) },
});
const nested = (success: RequestOp[], failure: RequestOp[] = []): RequestOp => ({
  request: { case: "requestTxn", value: txn(success, failure) },
});

function txn(success: RequestOp[], failure: RequestOp[] = []): TxnRequest {
  return codecs.TxnRequest.create({ success, failure });
}

function refusal(check: () => void): ApiErrorName | undefined {
  try {
    check();
    return undefined;
  } catch (error) {
    const { message } = error as Error;
    return (Object.keys(apiErrors) as ApiErrorName[]).find((name) => apiErrors[name].message === message);
  }
}

test("ranges and puts are refused in etcd's order", () => {
  assert.equal(
    refusal(() => checkRange(codecs.RangeRequest.create({ sortOrder: 9 }))),
    "emptyKey",
  );
  assert.equal(
    refusal(() => checkRange(codecs.RangeRequest.create({ key, sortOrder: 9 }))),
    "invalidSortOption",
  );
  assert.equal(
    refusal(() => checkRange(codecs.RangeRequest.create({ key, sortTarget: -1 }))),
    "invalidSortOption",
  );
  const both = { key, ignoreValue: true, value: key, ignoreLease: true, lease: 3n as never };
  assert.equal(
    refusal(() => checkPut(codecs.PutRequest.create(both))),
    "valueProvided",
  );
  assert.equal(
    refusal(() => checkPut(codecs.PutRequest.create({ ...both, ignoreValue: false }))),
    "leaseProvided",
  );
});

const txnCases: readonly [string, TxnRequest, ApiErrorName | undefined][] = [
  ["an empty one", txn([]), undefined],
  ["an operation without content", txn([{ request: undefined }]), "keyNotFound"],
  ["a nested operation without a key", txn([nested([range("")])]), "emptyKey"],
  ["two puts of one key", txn([put("a"), put("a")]), "duplicateKey"],
  ["two puts of one key in different branches", txn([put("a")], [put("a")]), undefined],
  ["a put and a delete of its key", txn([put("a"), remove("a")]), "duplicateKey"],
  ["a put inside a deleted range", txn([remove("a", "c"), put("b")]), "duplicateKey"],
  ["a put at the end of a deleted range", txn([remove("a", "b"), put("b")]), undefined],
  ["overlapping deletes", txn([remove("a", "c"), remove("b", "d")]), undefined],
  ["a put and ranges", txn([range("a"), put("a"), range("a")]), undefined],
  ["a put and one in a nested branch", txn([put("a"), nested([put("a")])]), "duplicateKey"],
  ["the same put in both branches of a nested one", txn([nested([put("a")], [put("a")])]), undefined],
  ["a put in two nested ones", txn([nested([put("a")]), nested([], [put("a")])]), "duplicateKey"],
  ["a nested put under an outer delete", txn([nested([put("b")]), remove("a", "c")]), "duplicateKey"],
  ["an outer put under a nested delete", txn([nested([], [remove("a", "c")]), put("b")]), "duplicateKey"],
  [
    "a nested put under an earlier nested delete",
    txn([nested([remove("b")]), nested([put("b")])]),
    "duplicateKey",
  ],
  ["a put and a literal zero-byte end", txn([put("a"), remove("\0", "\0")]), undefined],
];

for (const [name, request, expected] of txnCases) {
  test(`a transaction with ${name} is ${expected === undefined ? "accepted" : `refused: ${expected}`}`, () => {
    assert.equal(
      refusal(() => checkTxn(request, 128)),
      expected,
    );
  });
}

test("each list may hold the bound, and a nested transaction what the outer one leaves", () => {
  const puts = (count: number): RequestOp[] => Array.from({ length: count }, (_, i) => put(`k${i}`));
  assert.equal(
    refusal(() => checkTxn(txn(puts(128), puts(128)), 128)),
    undefined,
  );
  assert.equal(
    refusal(() => checkTxn(txn(puts(129)), 128)),
    "tooManyOps",
  );
  assert.equal(
    refusal(() => checkTxn(txn([nested(puts(127))]), 128)),
    undefined,
  );
  assert.equal(
    refusal(() => checkTxn(txn([nested(puts(128))]), 128)),
    "tooManyOps",
  );
});
