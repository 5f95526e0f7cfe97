// The "quorum" form: `committed` and `vote` over a majority (cfg) or a joint configuration (cfg and cfgj). Values
// belong to the voters in the order in which they are listed, those of cfg first, each voter once; "_" is none.

import { hexId, type NodeId, nodeId } from "../../lib/ids.ts";
import {
  type AckedIndexer,
  compareIds,
  everything,
  jointCommitted,
  jointVote,
  majorityCommitted,
  majorityVote,
  sortedIds,
} from "../quorum.ts";
import { type Command, parseInteger, TranscriptError } from "./transcript.ts";

interface Question {
  readonly voters: readonly NodeId[];
  /** Undefined when the question is about a plain majority. */
  readonly otherVoters: readonly NodeId[] | undefined;
  readonly values: readonly string[];
  /** Voters in the order of their values. */
  readonly order: readonly NodeId[];
}

export function answerQuorumCommand(command: Command): string {
  const question = parseQuestion(command);
  if (question.order.length !== question.values.length) {
    const voters = `map[${sortedIds(question.order)
      .map((id) => `${id}:{}`)
      .join(" ")}]`;
    const values = question.values.map((value) => ({ _: "0", n: "1", y: "2" })[value] ?? value);
    return `error: mismatched input (explicit or _) for voters ${voters}: [${values.join(" ")}]`;
  }
  return command.name === "committed" ? answerCommitted(question) : answerVote(question);
}

function parseQuestion(command: Command): Question {
  const valueKey = valueKeys[command.name];
  if (valueKey === undefined) throw new TranscriptError(`unknown command ${command.name}`);
  const listed: NodeId[] = [];
  const listedOther: NodeId[] = [];
  const values: string[] = [];
  let isJoint = false;
  for (const { key, values: given = [] } of command.args) {
    switch (key) {
      case "cfg":
        for (const value of given) listed.push(parseId(value));
        break;
      case "cfgj":
        isJoint = true;
        if (!(given.length === 1 && given[0] === "zero"))
          for (const value of given) listedOther.push(parseId(value));
        break;
      case "idx":
      case "votes":
        for (const value of given) checkValue(key, value);
        if (key === valueKey) values.push(...given);
        break;
      default:
        throw new TranscriptError(`unknown argument ${key}`);
    }
  }
  return {
    voters: sortedIds(listed),
    otherVoters: isJoint ? sortedIds(listedOther) : undefined,
    values,
    order: [...new Set([...listed, ...listedOther])],
  };
}

const valueKeys: Readonly<Record<string, string>> = { committed: "idx", vote: "votes" };

function parseId(text: string): NodeId {
  return nodeId(parseInteger(text));
}

function checkValue(key: "idx" | "votes", value: string): void {
  if (value === "_") return;
  if (key === "votes" && value !== "y" && value !== "n") throw new TranscriptError(`unknown vote: ${value}`);
  if (key === "idx" && parseInteger(value) === 0) throw new TranscriptError("cannot use 0 as idx");
}

function answerVote(question: Question): string {
  const votes = new Map<NodeId, boolean>();
  question.order.forEach((id, at) => {
    const value = question.values[at];
    if (value !== "_") votes.set(id, value === "y");
  });
  const { voters, otherVoters } = question;
  if (otherVoters === undefined) return majorityVote(voters, votes);
  const result = jointVote(voters, otherVoters, votes);
  const mirrored = jointVote(otherVoters, voters, votes);
  return mirrored === result ? result : `${mirrored} <-- via symmetry\n${result}`;
}

function answerCommitted(question: Question): string {
  const indexes = new Map<NodeId, number>();
  question.order.forEach((id, at) => {
    const value = question.values[at] ?? "_";
    if (value !== "_") indexes.set(id, parseInteger(value));
  });
  const acked: AckedIndexer = { ackedIndex: (id) => indexes.get(id) };
  const { voters, otherVoters } = question;
  const picture = drawQuorum(sortedIds(question.order), acked);
  if (otherVoters === undefined) {
    const index = majorityCommitted(voters, acked);
    const same = [jointCommitted(voters, [], acked), jointCommitted(voters, voters, acked)];
    return `${picture}${same.map((other) => dissent(other, index, "a joint quorum")).join("")}${describeIndex(index)}`;
  }
  const index = jointCommitted(voters, otherVoters, acked);
  const mirrored = jointCommitted(otherVoters, voters, acked);
  return `${picture}${dissent(mirrored, index, "symmetry")}${describeIndex(index)}`;
}

function dissent(other: number, index: number, way: string): string {
  return other === index ? "" : `${describeIndex(other)} <-- via ${way}\n`;
}

function describeIndex(index: number): string {
  return index === everything ? "∞" : `${index}`;
}

/** A line per voter with a bar as long as the number of voters that are behind it. */
function drawQuorum(voters: readonly NodeId[], acked: AckedIndexer): string {
  if (voters.length === 0) return "<empty majority quorum>";
  const indexOf = (id: NodeId): number => acked.ackedIndex(id) ?? 0;
  const sorted = [...voters].sort((a, b) => indexOf(a) - indexOf(b) || compareIds(a, b));
  const width = voters.length;
  let text = `${" ".repeat(width)}    idx\n`;
  for (const id of voters) {
    const behind = sorted.findIndex((other) => indexOf(other) === indexOf(id));
    const bar = acked.ackedIndex(id) === undefined ? "?" : `${"x".repeat(behind)}>`;
    const padding = " ".repeat(acked.ackedIndex(id) === undefined ? width : width - behind);
    text += `${bar}${padding} ${`${indexOf(id)}`.padStart(5)}    (id=${hexId(id)})\n`;
  }
  return text;
}
