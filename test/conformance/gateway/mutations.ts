// Bodies that are nearly right: seeded mutations of good ones. Most are refused, and the words of the refusal count.

import type { Random } from "../../../node/lib/random.ts";
import type { Question } from "./ask.ts";

const originals: readonly Question[] = [
  {
    path: "/v3/kv/range",
    body: `{"key":"Zm9v","range_end":"Zm9w","limit":"2","revision":0,"sort_order":"DESCEND","sortTarget":"MOD",
      "serializable":true,"keys_only":false,"min_mod_revision":"1"}`,
  },
  {
    path: "/v3/kv/txn",
    body: `{"compare":[{"key":"Zm9v","target":"VALUE","result":"EQUAL","value":"YmF6"},
      {"target":1,"create_revision":"5","key":"YQ=="}],"success":[{"requestRange":{"key":"Zm9v"}},
      {"request_put":{"key":"YQ==","value":"YQ==","prev_kv":true,"lease":0}}],
      "failure":[{"request_txn":{"compare":[],"success":[{"request_range":{"key":"YQ=="}}]}}]}`,
  },
  { path: "/v3/cluster/member/update", body: `{"peerURLs":["http://127.0.0.1:1"],"ID":12}` },
  { path: "/v3/lease/timetolive", body: `{"ID":"12","TTL":5.0e1,"x":{"a":[1,2,{"b":null}],"é":"\\u00e9"}}` },
];

const pieces: readonly string[] = [
  ...'{}[],:"\\-+./_=e0 \n\t\0\x7fé',
  ...["\\u", "\\ud800", "\\udc00", "\\n", "\\/", "\\\\", `\\"`, "--", "=="],
  ...["null", "true", "1e5", ".5", "1.50", "9223372036854775808", `"key"`, `"key":1,`],
];

export function mutated(random: Random): Question {
  const { path, body = "" } = originals[random.below(originals.length)] as Question;
  let text = Buffer.from(body).toString("latin1");
  for (let count = 1 + random.below(3); count > 0; count--) text = mutatedOnce(text, random);
  return { path, body: text };
}

function mutatedOnce(text: string, random: Random): string {
  const at = random.below(text.length + 1);
  const before = text.slice(0, at);
  const piece = Buffer.from(pieces[random.below(pieces.length)] as string).toString("latin1");
  switch (random.below(5)) {
    case 0:
      return before + text.slice(at + 1 + random.below(4));
    case 1:
      return before + piece + text.slice(at);
    case 2:
      return before + piece + text.slice(at + 1);
    case 3:
      return random.below(4) === 0 ? before : text;
    default: {
      const from = random.below(text.length + 1);
      return before + text.slice(from, from + random.below(20)) + text.slice(at);
    }
  }
}
