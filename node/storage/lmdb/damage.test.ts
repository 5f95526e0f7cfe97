import assert from "node:assert/strict";
import { cpSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { utf8 } from "../../lib/bytes.ts";
import { FatalError } from "../../lib/fatal.ts";
import { flushed, put, recordsOf } from "../engine-contract.ts";
import { pageBytes } from "./environment.ts";
import { fatalOfFailedWrite, fatalOfStoreError } from "./errors.ts";
import { probeStore } from "./probe.ts";
import { closed, newMemberPath, openEngine } from "./test-store.ts";

const recordCount = 400;
const value = (n: number): string => `value-${String(n).padStart(5, "0")}-`.padEnd(300, "x");
const key = (n: number): string => `key-${String(n).padStart(5, "0")}`;

/** A whole store, and a copy of it to damage. */
let whole: string;
let copy: string;
let pristine: Buffer;

before(async () => {
  whole = newMemberPath();
  copy = `${newMemberPath()}/member`;
  const engine = openEngine(whole);
  for (let start = 0; start < recordCount; start += 100) {
    const numbers = Array.from({ length: 100 }, (_, i) => start + i);
    await flushed(
      engine,
      numbers.flatMap((n) => [put("key", key(n), value(n)), put("index", key(n), key(n))]),
    );
  }
  await flushed(engine, [put("index", "big", "b".repeat(50_000))]);
  await closed(engine);
  pristine = readFileSync(`${whole}/store-1/data.mdb`);
});

after(() => {
  rmSync(whole, { recursive: true });
  rmSync(copy, { recursive: true });
});

function dataFile(): string {
  return `${copy}/store-1/data.mdb`;
}

/** A fresh copy of the whole store, with its data file as given. */
function restore(data: Uint8Array): void {
  cpSync(whole, copy, { recursive: true });
  writeFileSync(dataFile(), data);
}

function fatalOf(work: () => unknown): FatalError {
  try {
    work();
  } catch (error) {
    assert.ok(error instanceof FatalError, String(error));
    return error;
  }
  throw new assert.AssertionError({ message: "it did not fail" });
}

test("a truncated file is refused with file and offset, before LMDB maps it", () => {
  const sizes = [0, 1, 23, 24, 160, pageBytes - 1, pageBytes, pageBytes + 100, 2 * pageBytes, 3 * pageBytes];
  sizes.push(Math.floor(pristine.length / 2), pristine.length - 3 * pageBytes);
  for (const size of sizes) {
    restore(pristine);
    truncateSync(dataFile(), size);
    const error = fatalOf(() => openEngine(copy));
    assert.equal(error.reason, "STORE_DAMAGED", `${size}: ${error.message}`);
    assert.equal(error.details.file, dataFile());
    assert.ok((error.details.offset ?? Number.NaN) <= size, `${size}: offset ${error.details.offset}`);
    assert.equal(statSync(dataFile()).size, size, "a refused file is left as it is");
  }
});

test("an empty or missing file is no new store", () => {
  restore(new Uint8Array(0));
  assert.equal(fatalOf(() => openEngine(copy)).reason, "STORE_DAMAGED");
  rmSync(dataFile());
  const error = fatalOf(() => openEngine(copy));
  assert.equal(error.reason, "STORE_DAMAGED");
  assert.match(error.message, /data\.mdb is missing/);
});

test("damage in either meta page is refused with its offset", () => {
  const fields: [string, number, number][] = [
    ["page flags", 18, 0x01],
    ["magic", 24, 0xff],
    ["data version", 28, 0x01],
    ["page size", 49, 0x10],
    ["root page of the free list", 94, 0x01],
    ["root page of the main database", 142, 0x01],
    ["last page", 150, 0x01],
    ["transaction, by one", 152, 0x01],
    ["transaction, by many", 153, 0x10],
  ];
  for (const page of [0, 1]) {
    for (const [field, at, mask] of fields) {
      const damaged = Buffer.from(pristine);
      const offset = page * pageBytes + at;
      damaged[offset] = (damaged[offset] as number) ^ mask;
      restore(damaged);
      const error = fatalOf(() => openEngine(copy));
      assert.equal(error.reason, "STORE_DAMAGED", `${field} of meta page ${page}: ${error.message}`);
      assert.equal(error.details.file, dataFile());
    }
  }
});

test("X2: a meta page that LMDB left behind when its write failed is passed over, and only where it is the older one", async () => {
  const transactionAt = (page: number): bigint => pristine.readBigUInt64LE(page * pageBytes + 152);
  const newest = transactionAt(0) > transactionAt(1) ? 0 : 1;
  const withRoot = (page: number): Buffer => {
    const bytes = Buffer.from(pristine);
    const lastPage = bytes.readBigUInt64LE(page * pageBytes + 144);
    for (const at of [88, 136]) bytes.writeBigUInt64LE(lastPage + 9n, page * pageBytes + at);
    return bytes;
  };
  restore(withRoot(newest));
  assert.match(fatalOf(() => openEngine(copy)).message, /meta page . has root page/);
  restore(pristine);
  const whole = openEngine(copy);
  const records = recordsOf(whole, "key", { start: new Uint8Array(0) });
  await closed(whole);
  restore(withRoot(1 - newest));
  const engine = openEngine(copy);
  assert.ok(records.length > 0);
  assert.deepEqual(recordsOf(engine, "key", { start: new Uint8Array(0) }), records);
  await closed(engine);
});

test("zeros or noise in place of the file are refused", () => {
  for (const fill of [0x00, 0xff, 0x5a]) {
    restore(Buffer.alloc(pristine.length, fill));
    assert.equal(fatalOf(() => openEngine(copy)).reason, "STORE_DAMAGED");
  }
});

test("a flipped bit in a record is reported and raised, by get and by cursor, and never returned", async () => {
  const n = 123;
  const at = pristine.lastIndexOf(value(n));
  assert.ok(at > 0);
  const stored = value(n).length;
  // In the value's first and last byte, in its middle, and in every byte of the trailer.
  const offsets = [0, 150, stored - 1, ...Array.from({ length: 6 }, (_, i) => stored + i)];
  for (const offset of offsets) {
    const damaged = Buffer.from(pristine);
    damaged[at + offset] = (damaged[at + offset] as number) ^ 0x10;
    restore(damaged);
    const reports: FatalError[] = [];
    const engine = openEngine(copy, (error) => reports.push(error));
    assert.equal(Buffer.from(engine.get("key", utf8(key(n - 1))) ?? []).toString(), value(n - 1));
    const error = fatalOf(() => engine.get("key", utf8(key(n))));
    assert.equal(error.reason, "STORE_DAMAGED");
    assert.match(error.message, /bucket key, key 6b65792d3030313233: /);
    const cursor = engine.cursor("key", { start: utf8(key(n - 1)) });
    assert.equal(cursor.next(), true);
    assert.equal(fatalOf(() => cursor.next()).reason, "STORE_DAMAGED");
    cursor.close();
    assert.deepEqual(reports, [error], "the first damage is reported, once");
    await closed(engine);
  }
});

test("a flipped bit in a key does not pass as another record", async () => {
  const damaged = Buffer.from(pristine);
  const at = pristine.lastIndexOf(key(123) + value(123));
  assert.ok(at > 0);
  damaged[at + key(123).length - 1] = "4".charCodeAt(0);
  restore(damaged);
  const engine = openEngine(copy, () => {});
  assert.equal(fatalOf(() => recordsOf(engine, "key", { start: utf8("key") })).reason, "STORE_DAMAGED");
  await closed(engine);
});

test("a flipped bit in a value of several pages is found", async () => {
  const at = pristine.lastIndexOf("b".repeat(50_000));
  assert.ok(at > 0);
  const damaged = Buffer.from(pristine);
  damaged[at + 33_333] = 0;
  restore(damaged);
  const engine = openEngine(copy, () => {});
  assert.equal(fatalOf(() => engine.get("index", utf8("big"))).reason, "STORE_DAMAGED");
  await closed(engine);
});

test("the walk names a damaged record, and passes a whole store", () => {
  restore(pristine);
  assert.equal(probeStore(`${copy}/store-1`), undefined);
  const damaged = Buffer.from(pristine);
  damaged[pristine.lastIndexOf(value(7))] = 0;
  restore(damaged);
  assert.match(probeStore(`${copy}/store-1`) ?? "", /bucket key, key 6b65792d3030303037: checksum/);
});

test("a file that ends before pages that are free is whole", async () => {
  // The meta page says one page more than the file has, and nothing refers to that page.
  const longer = Buffer.from(pristine);
  const newest = longer.readBigUInt64LE(152) > longer.readBigUInt64LE(pageBytes + 152) ? 0 : pageBytes;
  const lastPage = longer.readBigUInt64LE(newest + 144);
  longer.writeBigUInt64LE(lastPage + 1n, newest + 144);
  restore(longer);
  const engine = openEngine(copy);
  assert.equal(recordsOf(engine, "key", { start: utf8("key") }).length, recordCount);
  assert.equal(statSync(dataFile()).size, pristine.length + pageBytes);
  await closed(engine);
});

test("failures of LMDB and the file system have their reasons, and other errors pass on", () => {
  const cases: [number | string, string][] = [
    [28, "DISK_FULL"],
    [122, "DISK_FULL"],
    [5, "IO_ERROR"],
    [12, "IO_ERROR"],
    [-30796, "STORE_DAMAGED"],
    [-30795, "STORE_DAMAGED"],
    ["ENOSPC", "DISK_FULL"],
    ["EIO", "IO_ERROR"],
  ];
  for (const [code, reason] of cases) {
    const error = Object.assign(new Error("failed"), { code, syscall: "write" });
    assert.equal(fatalOfStoreError(error, "data.mdb").reason, reason, String(code));
  }
  const bug = new TypeError("a bug");
  assert.throws(() => fatalOfStoreError(bug, "data.mdb"), bug);
});

test("an I/O error is a full disk when there was no room for the flush", () => {
  const error = Object.assign(new Error("failed"), { code: 5 });
  const reason = (availableBytes: number): string =>
    fatalOfFailedWrite(error, "data.mdb", { flushBytes: 5_000_000, availableBytes }).reason;
  assert.deepEqual(
    [reason(0), reason(5_000_000), reason(50_000_000)],
    ["DISK_FULL", "DISK_FULL", "IO_ERROR"],
  );
  const damage = Object.assign(new Error("failed"), { code: -30796 });
  const space = { flushBytes: 1, availableBytes: 0 };
  assert.equal(fatalOfFailedWrite(damage, "data.mdb", space).reason, "STORE_DAMAGED");
});
