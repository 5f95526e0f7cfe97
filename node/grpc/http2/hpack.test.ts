import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as http2Connect } from "node:http2";
import { type AddressInfo, createServer } from "node:net";
import { test } from "node:test";
import { SeededRandom } from "../../lib/random.ts";
import { HeadCache } from "./head-cache.ts";
import { HpackDecoder } from "./hpack-decoder.ts";
import { HpackEncoder } from "./hpack-encoder.ts";
import { ConnectionError, FrameType, frameHeadBytes } from "./protocol.ts";

const plenty = { tableBytes: 4096, listBytesMax: 64 * 1024 };

function decodeAll(decoder: HpackDecoder, ...blocks: string[]): string[][] {
  return blocks.map((hex) => {
    const bytes = Buffer.from(hex.replaceAll(" ", ""), "hex");
    return [...decoder.decode(bytes, 0, bytes.length).fields];
  });
}

const requests = [
  [":method", "GET", ":scheme", "http", ":path", "/", ":authority", "www.example.com"],
  [
    ":method",
    "GET",
    ":scheme",
    "http",
    ":path",
    "/",
    ":authority",
    "www.example.com",
    "cache-control",
    "no-cache",
  ],
  [
    ...[":method", "GET", ":scheme", "https", ":path", "/index.html", ":authority", "www.example.com"],
    ...["custom-key", "custom-value"],
  ],
];

test("the single fields of RFC 7541, C.2 are read", () => {
  const blocks = [
    "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572",
    "040c 2f73 616d 706c 652f 7061 7468",
    "1008 7061 7373 776f 7264 0673 6563 7265 74",
    "82",
  ];
  assert.deepEqual(decodeAll(new HpackDecoder(plenty), ...blocks), [
    ["custom-key", "custom-header"],
    [":path", "/sample/path"],
    ["password", "secret"],
    [":method", "GET"],
  ]);
});

test("the requests of RFC 7541, C.3 and C.4 are read, without and with Huffman code", () => {
  const plain = [
    "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
    "8286 84be 5808 6e6f 2d63 6163 6865",
    "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
  ];
  const coded = [
    "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
    "8286 84be 5886 a8eb 1064 9cbf",
    "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
  ];
  assert.deepEqual(decodeAll(new HpackDecoder(plenty), ...plain), requests);
  assert.deepEqual(decodeAll(new HpackDecoder(plenty), ...coded), requests);
});

test("the answers of RFC 7541, C.6 are read with a table of 256 bytes, which evicts", () => {
  const blocks = [
    "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
    "4883 640e ffc1 c0bf",
    "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
  ];
  const date = "Mon, 21 Oct 2013 20:13:21 GMT";
  const common = ["cache-control", "private", "date", date, "location", "https://www.example.com"];
  assert.deepEqual(decodeAll(new HpackDecoder({ ...plenty, tableBytes: 256 }), ...blocks), [
    [":status", "302", ...common],
    [":status", "307", ...common],
    [
      ...[":status", "200", "cache-control", "private", "date", "Mon, 21 Oct 2013 20:13:22 GMT"],
      ...["location", "https://www.example.com", "content-encoding", "gzip"],
      ...["set-cookie", "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"],
    ],
  ]);
});

test("what cannot be decoded ends the connection", () => {
  const blocks = {
    "index 0": "80",
    "an index beyond the tables": "ff00",
    "an integer without an end": "ffff",
    "an integer beyond 2^28": "ffffffffff7f",
    "a text longer than the block": "400a61",
    "a table larger than allowed": "3fe21f",
    "a table size behind a field": "8220",
    "padding of more than 7 bits": "00016182ffff",
    "padding that is not all ones": "0001618118",
    "the end marker": "00016184fffffffc",
  };
  for (const [what, hex] of Object.entries(blocks)) {
    assert.throws(() => decodeAll(new HpackDecoder(plenty), hex), ConnectionError, what);
  }
});

test("a list above the limit is cut off, while the table goes on", () => {
  const decoder = new HpackDecoder({ tableBytes: 4096, listBytesMax: 200 });
  const name = "6e".repeat(10);
  const value = "76".repeat(100);
  const add = `400a${name}64${value}`;
  const bytes = Buffer.from(add + "be".repeat(1000), "hex");
  const list = decoder.decode(bytes, 0, bytes.length);
  assert.equal(list.isTooLarge, true);
  assert.equal(list.fields.length, 2);
  assert.deepEqual(decodeAll(decoder, "be"), [["n".repeat(10), "v".repeat(100)]]);
});

test("equal blocks share a head until the table changes", () => {
  const decoder = new HpackDecoder(plenty);
  const cache = new HeadCache(decoder);
  const read = (hex: string) => {
    const bytes = Buffer.from(hex, "hex");
    return cache.head(bytes, 0, bytes.length);
  };
  const first = read("8286844101 61".replace(" ", ""));
  assert.equal(first.authority, "a");
  const second = read("828684be");
  assert.equal(read("828684be"), second);
  assert.equal(second.authority, "a");
  read("828684410162");
  assert.equal(read("828684be").authority, "b");
});

test("random fields of another implementation are read as it wrote them", async () => {
  const random = new SeededRandom(7);
  const below = (bound: number): number => random.below(bound);
  const letters = "abcdefghijklmnopqrstuvwxyz0123456789-";
  const name = (): string =>
    `x${Array.from({ length: 1 + below(20) }, () => letters[below(letters.length)]).join("")}`;
  const value = (): string =>
    Array.from({ length: below(60) }, () => String.fromCharCode(0x21 + below(0x5e))).join("");
  const known = Array.from({ length: 20 }, () => [name(), value()] as const);
  const sent = Array.from({ length: 300 }, () =>
    Array.from({ length: 1 + below(8) }, () => known[below(20)] ?? ([name(), value()] as const)).map(
      (pair) => (below(3) === 0 ? ([pair[0], value()] as const) : pair),
    ),
  ).map((fields) => Object.fromEntries(fields));

  const received: Record<string, string>[] = [];
  const decoder = new HpackDecoder(plenty);
  const server = createServer((socket) => {
    socket.write(Buffer.from("000000040000000000", "hex"));
    let bytes: Buffer = Buffer.alloc(0);
    let at = 24;
    socket.on("data", (chunk: Buffer) => {
      bytes = Buffer.concat([bytes, chunk]);
      while (bytes.length >= at + frameHeadBytes) {
        const end = at + frameHeadBytes + bytes.readUIntBE(at, 3);
        if (bytes.length < end) return;
        if (bytes[at + 3] === FrameType.headers) {
          const priorityBytes = ((bytes[at + 4] as number) & 0x20) === 0 ? 0 : 5;
          const { fields } = decoder.decode(bytes, at + frameHeadBytes + priorityBytes, end);
          const regular: Record<string, string> = {};
          for (let i = 0; i < fields.length; i += 2) {
            if (!(fields[i] as string).startsWith(":"))
              regular[fields[i] as string] = fields[i + 1] as string;
          }
          received.push(regular);
        }
        at = end;
      }
      if (received.length === sent.length) socket.destroy();
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const session = http2Connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  session.on("error", () => {});
  for (const fields of sent) session.request(fields, { endStream: true }).on("error", () => {});
  await once(session, "close");
  server.close();
  assert.deepEqual(received, sent);
});

test("what the encoder writes, the decoder reads, in every state of the peer's table", () => {
  const ok = ["grpc-status", "0"];
  const head = [":status", "200", "content-type", "application/grpc"];
  for (const sizes of [[], [4096], [65_536], [0], [100], [0, 4096]]) {
    for (const trailersFirst of [true, false]) {
      const encoder = new HpackEncoder();
      const decoder = new HpackDecoder(plenty);
      const read = (block: Uint8Array) => [...decoder.decode(block, 0, block.length).fields];
      for (let round = 0; round < 6; round++) {
        if (round === 3) for (const size of sizes) encoder.onTableSize(size);
        if (trailersFirst) assert.deepEqual(read(encoder.okTrailers()), ok);
        assert.deepEqual(read(encoder.grpcHead()), head);
        assert.deepEqual(read(encoder.okTrailers()), ok);
        const long = ["grpc-message", "m".repeat(300)];
        assert.deepEqual(read(encoder.plain(long)), long);
      }
    }
  }
});

test("an answer to a warm connection is three bytes of fields", () => {
  const encoder = new HpackEncoder();
  encoder.grpcHead();
  encoder.okTrailers();
  assert.equal(encoder.grpcHead().length + encoder.okTrailers().length, 3);
});
