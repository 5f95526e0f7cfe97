import assert from "node:assert/strict";
import { test } from "node:test";
import { utf8 } from "../../../node/lib/bytes.ts";
import { nodeId, noLease } from "../../../node/lib/ids.ts";
import { encodeKeyValue } from "../../../node/wire/hot-kv.ts";
import { History } from "./history.ts";
import { RuleBook } from "./rules.ts";

const [one, two, three] = [nodeId(1n), nodeId(2n), nodeId(3n)];

function historyOf(): {
  readonly history: History;
  /** Elects a leader, whose log ends at `lastIndex`. */
  readonly lead: (id: typeof one, term: number, lastIndex: number) => void;
  /** Acknowledges the write of the entry at `index`. */
  readonly acknowledge: (index: number) => void;
} {
  const history = new History(new RuleBook());
  const lead = (id: typeof one, term: number, lastIndex: number): void => {
    assert.ok(history.electionSafety(id, term));
    history.leaderCompleteness(id, term, lastIndex);
  };
  const acknowledge = (index: number): void => {
    const key = utf8("k");
    const revision = history.newest + 1;
    const numbers = { createRevision: revision, modRevision: revision, version: 1, lease: noLease };
    const kv = encodeKeyValue({ key, value: utf8("v"), ...numbers });
    history.revision(one, { revision, events: [{ type: "put", key, modRevision: revision, kv }] });
    history.acknowledgedWrite({ key: "k", value: "v", revision, floor: 0, index });
  };
  return { history, lead, acknowledge };
}

test("a leader has to hold what was acknowledged before its term", () => {
  const { lead, acknowledge } = historyOf();
  lead(one, 2, 5);
  acknowledge(8);
  assert.throws(() => lead(two, 3, 7), /leaderCompleteness/);
});

test("a leader that is elected after one of a later term is held to what was acknowledged before its own", () => {
  const { lead, acknowledge } = historyOf();
  lead(one, 2, 5);
  acknowledge(8);
  lead(two, 5, 8);
  acknowledge(20);
  lead(three, 4, 8);
  assert.throws(() => lead(three, 3, 7), /leaderCompleteness/);
});
