import assert from "node:assert/strict";
import { test } from "node:test";
import { utf8 } from "../lib/bytes.ts";
import { quote } from "./describe.ts";

test("bytes are quoted as text where they are printable and escaped elsewhere", () => {
  const cases: [Uint8Array, string][] = [
    [utf8("plain 'text'"), `"plain 'text'"`],
    [utf8('a"b\\c'), String.raw`"a\"b\\c"`],
    [utf8("\n\t\r\v\f\b\u0007\0\u007f"), String.raw`"\n\t\r\v\f\b\a\x00\x7f"`],
    [utf8("größe ∞ 日本 😀"), `"größe ∞ 日本 😀"`],
    [utf8("\u00a0\u200b\ufeff\u{e0001}"), String.raw`"\u00a0\u200b\ufeff\U000e0001"`],
    [Uint8Array.from([0xff, 0x41, 0xc3, 0xe2, 0x82]), String.raw`"\xffA\xc3\xe2\x82"`],
    [Uint8Array.from([0xc0, 0x80, 0xed, 0xa0, 0x80]), String.raw`"\xc0\x80\xed\xa0\x80"`],
  ];
  for (const [bytes, text] of cases) assert.equal(quote(bytes), text);
});
