import assert from "node:assert/strict";
import { test } from "node:test";
import { concatBytes, utf8 } from "../../lib/bytes.ts";
import { SeededRandom } from "../../lib/random.ts";
import { BoltError, decodeMeta, encodeMetaPage, fnv1a64, metaBytes, pageHeaderBytes } from "./format.ts";
import { BoltReader, type ByteSource } from "./reader.ts";
import { BoltWriter } from "./writer.ts";

type Content = readonly (readonly [string, readonly (readonly [Uint8Array, Uint8Array])[]])[];

function sourceOf(bytes: Uint8Array): ByteSource {
  return {
    bytes: bytes.length,
    read(target, position) {
      const part = bytes.subarray(position, position + target.length);
      target.set(part);
      return part.length;
    },
  };
}

function write(content: Content): Uint8Array {
  const pages: Uint8Array[] = [];
  const writer = new BoltWriter((page) => pages.push(page));
  for (const [name, records] of content) {
    writer.beginBucket(name);
    for (const [key, value] of records) writer.add(key, value);
  }
  return concatBytes([writer.finish(), ...pages]);
}

function read(bytes: Uint8Array): Content {
  const reader = new BoltReader(sourceOf(bytes));
  return reader.bucketNames.map((name) => [
    name,
    [...reader.records(name)].map(({ key, value }) => [key, value] as const),
  ]);
}

function hexOf(content: Content): unknown {
  return content.map(([name, records]) => [
    name,
    records.map((record) => record.map((bytes) => Buffer.from(bytes).toString("hex"))),
  ]);
}

function numbered(count: number, valueBytes: (i: number) => number): [Uint8Array, Uint8Array][] {
  return Array.from({ length: count }, (_, i) => [
    utf8(`key${String(i).padStart(8, "0")}`),
    new Uint8Array(valueBytes(i)).fill(i),
  ]);
}

test("what is written is read back: empty, small, deep and overflowing buckets", () => {
  const content: Content = [
    ["a", []],
    ["deep", numbered(40_000, () => 20)],
    ["large", numbered(20, (i) => i * 1500)],
    ["small", [[utf8("k"), utf8("")]]],
  ];
  const bytes = write(content);
  assert.equal(bytes.length % 4096, 0);
  assert.deepEqual(hexOf(read(bytes)), hexOf(content));
});

test("the last key of a bucket is found, whatever its shape", () => {
  const bytes = write([
    ["a", []],
    ["deep", numbered(40_000, () => 20)],
    ["small", [[utf8("k"), utf8("")]]],
  ]);
  const reader = new BoltReader(sourceOf(bytes));
  assert.equal(reader.lastKey("a"), undefined);
  assert.deepEqual(reader.lastKey("deep"), utf8("key00039999"));
  assert.deepEqual(reader.lastKey("small"), utf8("k"));
  assert.equal(reader.lastKey("none"), undefined);
});

test("a record fills a page to its last byte, and one byte more goes over", () => {
  for (const valueBytes of [4096 - 16 - 16 - 1, 4096 - 16 - 16]) {
    const content: Content = [["b", [[utf8("k"), new Uint8Array(valueBytes).fill(7)]]]];
    const bytes = write(content);
    assert.equal(bytes.length, 4096 * (valueBytes === 4063 ? 4 : 5));
    assert.deepEqual(hexOf(read(bytes)), hexOf(content));
  }
});

test("FNV-1a gives its published values", () => {
  assert.equal(fnv1a64(utf8("")), 0xcbf29ce484222325n);
  assert.equal(fnv1a64(utf8("a")), 0xaf63dc4c8601ec8cn);
  assert.equal(fnv1a64(utf8("foobar")), 0x85944171f73967e8n);
});

test("either meta page is enough, and the newer of two counts", () => {
  const content: Content = [["b", numbered(3, () => 5)]];
  for (const page of [0, 1]) {
    const bytes = write(content);
    bytes[page * 4096 + pageHeaderBytes + 20] = 0xff;
    assert.deepEqual(hexOf(read(bytes)), hexOf(content));
  }
  const neither = write(content);
  neither[pageHeaderBytes + 20] = 0xff;
  neither[4096 + pageHeaderBytes + 20] = 0xff;
  assert.throws(() => read(neither), /invalid database/);
});

test("a meta record of another page size is read", () => {
  const meta = { pageBytes: 16_384, rootPage: 3, pages: 9, transactionId: 5 };
  const page = encodeMetaPage(1, meta);
  assert.deepEqual(decodeMeta(page.subarray(pageHeaderBytes, pageHeaderBytes + metaBytes)), meta);
});

test("an inline bucket is read", () => {
  // Page 2 is the root bucket's leaf: one bucket, whose only leaf of one record stands in its value.
  const inline = new Uint8Array(16 + 16 + 2);
  const inlineView = new DataView(inline.buffer);
  inlineView.setUint16(8, 2, true);
  inlineView.setUint16(10, 1, true);
  inlineView.setUint32(20, 16, true);
  inlineView.setUint32(24, 1, true);
  inlineView.setUint32(28, 1, true);
  inline.set(utf8("kv"), 32);
  const bytes = new Uint8Array(3 * 4096);
  for (const page of [0, 1]) {
    const meta = { pageBytes: 4096, rootPage: 2, pages: 3, transactionId: page };
    bytes.set(encodeMetaPage(page, meta), page * 4096);
  }
  const view = new DataView(bytes.buffer, 2 * 4096);
  view.setBigUint64(0, 2n, true);
  view.setUint16(8, 2, true);
  view.setUint16(10, 1, true);
  view.setUint32(16, 1, true);
  view.setUint32(20, 16, true);
  view.setUint32(24, 4, true);
  view.setUint32(28, 16 + inline.length, true);
  bytes.set(utf8("name"), 2 * 4096 + 32);
  bytes.set(inline, 2 * 4096 + 36 + 16);
  assert.deepEqual(hexOf(read(bytes)), [["name", [["6b", "76"]]]]);
});

test("a file that is cut short or empty is refused", () => {
  const bytes = write([["b", numbered(1000, () => 50)]]);
  assert.throws(
    () => read(bytes.subarray(0, bytes.length - 1)),
    /the file has \d+ bytes, its \d+ pages take/,
  );
  assert.throws(() => read(new Uint8Array(0)), /invalid database/);
  assert.throws(() => read(new Uint8Array(100)), /invalid database/);
});

test("a branch that leads back to itself ends in an error", () => {
  const bytes = write([["b", numbered(1000, () => 50)]]);
  const view = new DataView(bytes.buffer);
  let branches = 0;
  for (let page = 2; page * 4096 < bytes.length; page++) {
    if (view.getUint16(page * 4096 + 8, true) !== 1) continue;
    branches++;
    view.setBigUint64(page * 4096 + 16 + 8, BigInt(page), true);
  }
  assert.equal(branches, 1);
  assert.throws(() => read(bytes), /page \d+ is used twice/);
});

test("bytes flipped anywhere end in a BoltError or change what is read, and never in anything else", () => {
  const random = new SeededRandom(7);
  const sound = write([
    ["a", numbered(3, () => 5)],
    ["b", numbered(400, (i) => (i === 100 ? 9000 : 30))],
  ]);
  let refused = 0;
  for (let round = 0; round < 3000; round++) {
    const bytes = sound.slice();
    const flips = 1 + random.below(3);
    for (let i = 0; i < flips; i++) {
      // Mostly in the heads of pages, where the numbers are.
      const page = random.below(bytes.length / 4096);
      const at = page * 4096 + random.below(random.below(2) === 0 ? 64 : 4096);
      bytes[at] = (bytes[at] as number) ^ (1 << random.below(8));
    }
    try {
      read(bytes);
    } catch (error) {
      assert.ok(error instanceof BoltError, String(error));
      refused++;
    }
  }
  assert.ok(refused > 500, `refused ${refused}`);
});
