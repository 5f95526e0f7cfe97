import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { type Form, formOf, replay, rewrite } from "./replay.ts";
import { parseTranscript, TranscriptError } from "./transcript.ts";

const testdata = new URL("../testdata/", import.meta.url);
const forms: readonly Form[] = ["interaction", "quorum", "confchange"];

for (const form of forms) {
  const folder = new URL(`${form}/`, testdata);
  for (const name of readdirSync(folder)) {
    test(`the transcript ${form}/${name} replays`, () => {
      const result = replay(form, readFileSync(new URL(name, folder), "utf8"));
      assert.ok(result.ok, result.ok ? "" : `line ${result.line}: ${result.command}\n${result.problem}`);
      assert.ok(result.commandCount > 0);
    });
  }
}

test("a difference is reported with its line, its command and both texts", () => {
  const result = replay("quorum", "# a comment\n\nvote cfg=(1) votes=(y)\n----\nVoteLost\n");
  assert.deepEqual(result, { ok: false, line: 3, command: "vote", problem: "- VoteLost\n+ VoteWon\n" });
});

test("an unknown command fails by name in every form", () => {
  for (const form of forms) {
    const result = replay(form, "frobnicate 1\n----\nok\n");
    assert.deepEqual(result, {
      ok: false,
      line: 1,
      command: "frobnicate",
      problem: "unknown command frobnicate\n",
    });
  }
});

test("a broken invariant fails the transcript with its message", () => {
  const result = replay("interaction", "add-nodes 1 voters=(1) index=3\n----\n\ncompact 1 9\n----\nok\n");
  assert.equal(result.ok, false);
  assert.match(result.ok ? "" : result.problem, /compaction|add|voters/);
  const compaction = replay(
    "interaction",
    "log-level none\n----\nok\n\nadd-nodes 1\n----\nok\n\ncompact 1 9\n----\nok\n",
  );
  assert.match(
    compaction.ok ? "" : compaction.problem,
    /^assertion failed: compaction beyond the end of the log/,
  );
});

test("the folder nearest to the file names the form", () => {
  assert.equal(formOf("/a/quorum/b/interaction/x/confchange.txt"), "interaction");
  assert.equal(formOf("/a/confchange/x.txt"), "confchange");
  assert.equal(formOf("/a/b/interaction"), undefined);
});

test("rewriting puts actual outputs in and keeps everything else", () => {
  const before = "# why\nvote cfg=(1) votes=(y)\n----\nVoteLost\n\n\n# more\nvote cfg=(1) votes=(n)\n----\n";
  const after =
    "# why\nvote cfg=(1) votes=(y)\n----\nVoteWon\n\n\n# more\nvote cfg=(1) votes=(n)\n----\nVoteLost\n";
  assert.equal(rewrite("quorum", before), after);
  assert.equal(rewrite("quorum", after), after);
});

test("arguments are keys, values and lists with nested parentheses", () => {
  const [command] = parseTranscript(
    "do 1 a=b list=(x, (y, z)) empty= \\\n  more\ninput 1\ninput 2\n----\nout\n",
  );
  assert.deepEqual(command?.args, [
    { key: "1", values: undefined },
    { key: "a", values: ["b"] },
    { key: "list", values: ["x", "(y, z)"] },
    { key: "empty", values: [""] },
    { key: "more", values: undefined },
  ]);
  assert.equal(command?.input, "input 1\ninput 2");
  assert.equal(command?.expected, "out\n");
  assert.throws(() => parseTranscript("do list=(x, y\n----\n"), TranscriptError);
});

test("fenced output may hold blank lines", () => {
  const commands = parseTranscript("a\n----\n----\none\n\ntwo\n----\n----\n\nb\n----\nthree\n");
  assert.deepEqual(
    commands.map((command) => [command.name, command.expected]),
    [
      ["a", "one\n\ntwo\n"],
      ["b", "three\n"],
    ],
  );
});
