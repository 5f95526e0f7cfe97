import assert from "node:assert/strict";
import { test } from "node:test";
import { utf8 } from "../lib/bytes.ts";
import { JsonError, JsonScanner } from "./json-scanner.ts";

/** The text of the first value, "" for none; or what is wrong. */
function firstOf(text: string): string {
  const scanner = new JsonScanner();
  const bytes = utf8(text);
  try {
    const end = scanner.scan(bytes, 0);
    if (end !== undefined) return text.slice(0, end);
    return scanner.end() ? text : "";
  } catch (error) {
    assert.ok(error instanceof JsonError);
    return `error: ${error.message}`;
  }
}

test("a value ends where it ends, whatever follows", () => {
  const values = [
    `{}`,
    `[]`,
    `{"a":[1,-2.5e+3,{"b":null}],"c":"\\u00e9\\""}`,
    `"x"`,
    `12`,
    `0`,
    `1.5`,
    `1e9`,
    `true`,
  ];
  for (const value of values) {
    for (const rest of ["", " ", "x", "{", "\n{}"]) {
      // A number or literal goes on in a letter or another digit only where that is one of it.
      assert.equal(firstOf(value + rest), value, value + rest);
    }
  }
  assert.equal(firstOf(""), "");
  assert.equal(firstOf(" \t\r\n"), "");
});

test("what is no JSON is refused in the words of Go's encoding/json", () => {
  const beginning = "looking for beginning of value";
  const key = "looking for beginning of object key string";
  const table: readonly (readonly [string, string])[] = [
    ["{", "unexpected EOF"],
    ["tru", "unexpected EOF"],
    ["-", "unexpected EOF"],
    ["1.", "unexpected EOF"],
    [`"a`, "unexpected EOF"],
    ["x", `invalid character 'x' ${beginning}`],
    ["'", `invalid character '\\'' ${beginning}`],
    [",", `invalid character ',' ${beginning}`],
    ["\u0007", `invalid character '\\a' ${beginning}`],
    ["\u001f", `invalid character '\\x1f' ${beginning}`],
    ["[,", `invalid character ',' ${beginning}`],
    ["[1,]", `invalid character ']' ${beginning}`],
    ["[1 2", "invalid character '2' after array element"],
    ["{a", `invalid character 'a' ${key}`],
    [`{"a":1,}`, `invalid character '}' ${key}`],
    [`{"a"}`, "invalid character '}' after object key"],
    [`{"a":1 "`, `invalid character '"' after object key:value pair`],
    ["trux", "invalid character 'x' in literal true (expecting 'e')"],
    ["-x", "invalid character 'x' in numeric literal"],
    ["1.x", "invalid character 'x' after decimal point in numeric literal"],
    ["1ex", "invalid character 'x' in exponent of numeric literal"],
    ["1e+x", "invalid character 'x' in exponent of numeric literal"],
    [`"\\x"`, "invalid character 'x' in string escape code"],
    [`"\\u12g4"`, "invalid character 'g' in \\u hexadecimal character escape"],
    [`"a\nb"`, "invalid character '\\n' in string literal"],
    ["[".repeat(10_001), "invalid character '[' exceeded max depth"],
    ["é", `invalid character 'Ã' ${beginning}`],
  ];
  for (const [text, problem] of table) assert.equal(firstOf(text), `error: ${problem}`, text.slice(0, 20));
});

test("values are found in whatever pieces they come", () => {
  const texts = [`{"a":"\\u00e9 é","b":[1.5e-3,true]}`, "[]", `"x"`, "-12", " null"];
  const bytes = utf8(`${texts.join(" ")} `);
  for (let size = 1; size < bytes.length; size++) {
    const scanner = new JsonScanner();
    const found: string[] = [];
    let text = "";
    for (let start = 0; start < bytes.length; start += size) {
      const piece = bytes.subarray(start, start + size);
      for (let at = 0; at < piece.length; ) {
        const end = scanner.scan(piece, at);
        text += Buffer.from(piece.subarray(at, end)).toString("latin1");
        if (end === undefined) break;
        found.push(Buffer.from(text, "latin1").toString().trim());
        text = "";
        scanner.reset();
        at = end;
      }
    }
    assert.deepEqual(
      found,
      texts.map((one) => one.trim()),
      `pieces of ${size}`,
    );
    assert.equal(scanner.end(), false);
  }
});
