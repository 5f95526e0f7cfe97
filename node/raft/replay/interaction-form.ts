// The "interaction" form: commands to a group of members in one place. An answer is what the members logged while the
// command ran, then what the command itself prints; "ok" when there is neither.

import { utf8 } from "../../lib/bytes.ts";
import { nodeId } from "../../lib/ids.ts";
import { type ConfChangeTransition, type MessageType, messageTypes } from "../../wire/raft.ts";
import type { AnyConfChange } from "../conf-change.ts";
import { emptyConfState, votersOf } from "../conf-state.ts";
import { describeProgress } from "../progress.ts";
import { parseChanges } from "./conf-change-input.ts";
import { Group, type GroupOptions } from "./group.ts";
import { levelNames } from "./output.ts";
import { type Command, parseBoolean, parseInteger, requiredValue, TranscriptError } from "./transcript.ts";

/** What a command answers when it could not do what it was told; expected by some transcripts. */
type Complaint = string | undefined;

export function conversationAbout(): (command: Command) => string {
  const group = new Group();
  return (command) => {
    group.output.clear();
    const complaint = handle(group, command);
    if (complaint !== undefined) {
      if (group.output.isQuiet) return complaint;
      group.output.write(complaint);
    }
    return group.output.text === "" ? "ok" : group.output.text;
  };
}

function handle(group: Group, command: Command): Complaint {
  switch (command.name) {
    case "_breakpoint":
      return undefined;
    case "add-nodes":
      return addNodes(group, command);
    case "campaign":
      group.member(firstId(command)).node.campaign();
      return undefined;
    case "compact":
      return group.compact(firstId(command), parseInteger(bareArguments(command)[1] ?? ""));
    case "deliver-msgs":
      return deliverMessages(group, command);
    case "forget-leader":
      group.member(firstId(command)).node.forgetLeader();
      return undefined;
    case "log-level":
      return group.output.setLevel(bareArguments(command)[0] ?? "") ? undefined : unknownLevel();
    case "process-ready":
      return forEachId(group, command, "handling Ready", (id) => group.processReady(id));
    case "process-append-thread":
      return forEachId(group, command, "processing append thread", (id) => group.processAppendThread(id));
    case "process-apply-thread":
      return forEachId(group, command, "processing apply thread", (id) => group.processApplyThread(id));
    case "propose":
      return propose(group, command);
    case "propose-conf-change":
      return proposeConfChange(group, command);
    case "raft-log":
      group.printLog(firstId(command));
      return undefined;
    case "raft-state":
      printStates(group);
      return undefined;
    case "read-index":
      return readIndex(group, command);
    case "report-unreachable":
      return reportUnreachable(group, command);
    case "send-snapshot":
      return sendSnapshot(group, command);
    case "set-randomized-election-timeout": {
      const ticks = parseInteger(requiredValue(command, "timeout"));
      if (ticks === 0) throw new TranscriptError("the timeout must not be zero");
      group.member(firstId(command)).node.setRandomizedElectionTicks(ticks);
      return undefined;
    }
    case "stabilize":
      return stabilize(group, command);
    case "status":
      printStatus(group, firstId(command));
      return undefined;
    case "tick-election":
      group.tick(firstId(command), group.electionTicks);
      return undefined;
    case "tick-heartbeat":
      group.tick(firstId(command), group.heartbeatTicks);
      return undefined;
    case "transfer-leadership":
      return transferLeadership(group, command);
    default:
      throw new TranscriptError(`unknown command ${command.name}`);
  }
}

function bareArguments(command: Command): string[] {
  return command.args.filter((arg) => arg.values === undefined).map((arg) => arg.key);
}

function firstId(command: Command): number {
  const [first] = command.args;
  if (first === undefined) throw new TranscriptError(`${command.name} needs a member`);
  return parseInteger(first.key);
}

function ids(command: Command): number[] {
  return bareArguments(command).map(parseInteger);
}

function unknownLevel(): string {
  return `log levels must be either of [${levelNames.join(" ")}]`;
}

function forEachId(group: Group, command: Command, what: string, act: (id: number) => Complaint): Complaint {
  const members = ids(command);
  for (const id of members) {
    const complaint = members.length > 1 ? group.announce(id, what, () => act(id)) : act(id);
    if (complaint !== undefined) return complaint;
  }
  return undefined;
}

function addNodes(group: Group, command: Command): Complaint {
  const options: { -readonly [K in keyof GroupOptions]: GroupOptions[K] } = {};
  let confState = emptyConfState;
  let index = 0;
  let content = "";
  for (const { key, values = [] } of command.args.slice(1)) {
    for (const value of values) {
      switch (key) {
        case "voters":
          confState = { ...confState, voters: [...confState.voters, nodeId(parseInteger(value))] };
          break;
        case "learners":
          confState = { ...confState, learners: [...confState.learners, nodeId(parseInteger(value))] };
          break;
        case "index":
          index = parseInteger(value);
          break;
        case "content":
          content = value;
          break;
        case "inflight":
          options.inflightMessagesMax = parseInteger(value);
          break;
        case "async-storage-writes":
          options.asyncStorageWrites = parseBoolean(value);
          break;
        case "prevote":
          options.preVote = parseBoolean(value);
          break;
        case "checkquorum":
          options.checkQuorum = parseBoolean(value);
          break;
        case "max-committed-size-per-ready":
          options.applyingBytesMax = parseInteger(value);
          break;
        case "disable-conf-change-validation":
          options.disableConfChangeValidation = parseBoolean(value);
          break;
        case "step-down-on-removal":
          options.stepDownOnRemoval = parseBoolean(value);
          break;
        case "read-only":
          if (value !== "safe" && value !== "lease-based")
            return `invalid read-only option ${JSON.stringify(value)}`;
          options.readOnlyOption = value === "safe" ? "ReadOnlySafe" : "ReadOnlyLeaseBased";
          break;
      }
    }
  }
  const isBootstrap = index > 0 || content !== "" || confState.voters.length + confState.learners.length > 0;
  if (isBootstrap && index <= 1) return "index must be specified as > 1 due to bootstrap";
  const term = isBootstrap ? 1 : 0;
  group.add(firstId(command), options, { data: utf8(content), metadata: { confState, index, term } });
  return undefined;
}

function deliverMessages(group: Group, command: Command): Complaint {
  let type: MessageType | undefined;
  const recipients: { id: number; drop: boolean }[] = [];
  for (const { key, values } of command.args) {
    if (values === undefined) recipients.push({ id: parseInteger(key), drop: false });
    for (const value of values ?? []) {
      if (key === "type") {
        type = messageTypes.find((name) => name === value);
        if (type === undefined) throw new TranscriptError(`unknown message type ${value}`);
      } else if (key === "drop") {
        const id = parseInteger(value);
        if (recipients.some((recipient) => recipient.id === id)) {
          throw new TranscriptError(`can't both deliver and drop msgs to ${id}`);
        }
        recipients.push({ id, drop: true });
      }
    }
  }
  let count = 0;
  for (const { id, drop } of recipients) count += drop ? group.drop(id, type) : group.deliver(id, type);
  if (count === 0) group.output.write("no messages\n");
  return undefined;
}

function propose(group: Group, command: Command): Complaint {
  const data = bareArguments(command)[1];
  if (data === undefined || command.args.length !== 2)
    throw new TranscriptError("propose needs a member and data");
  return group.complaintOf(group.member(firstId(command)).node.propose(utf8(data)));
}

const transitions: Readonly<Record<string, ConfChangeTransition>> = {
  auto: "ConfChangeTransitionAuto",
  implicit: "ConfChangeTransitionJointImplicit",
  explicit: "ConfChangeTransitionJointExplicit",
};

function proposeConfChange(group: Group, command: Command): Complaint {
  let isV1 = false;
  let transition: ConfChangeTransition = "ConfChangeTransitionAuto";
  for (const { key, values = [] } of command.args.slice(1)) {
    for (const value of values) {
      if (key === "v1") {
        isV1 = parseBoolean(value);
      } else if (key === "transition") {
        const named = transitions[value];
        if (named === undefined) return `unknown transition ${value}`;
        transition = named;
      } else {
        return `unknown command ${key}`;
      }
    }
  }
  const changes = parseChanges(command.input);
  if (typeof changes === "string") return changes;
  const context = utf8("");
  let change: AnyConfChange = { transition, changes, context };
  if (isV1) {
    if (changes.length > 1 || transition !== "ConfChangeTransitionAuto") {
      return "v1 conf change can only have one operation and no transition";
    }
    const [single] = changes;
    if (single === undefined) throw new TranscriptError("a v1 conf change needs an operation");
    change = { id: 0n, type: single.type, nodeId: single.nodeId, context };
  }
  return group.complaintOf(group.member(firstId(command)).node.proposeConfChange(change));
}

function readIndex(group: Group, command: Command): Complaint {
  const context = bareArguments(command)[1];
  if (context === undefined) throw new TranscriptError("read-index needs a member and a context");
  group.member(firstId(command)).node.readIndex(utf8(context));
  return undefined;
}

function reportUnreachable(group: Group, command: Command): Complaint {
  const [on, reported, ...more] = ids(command);
  if (on === undefined || reported === undefined || more.length > 0) {
    return "must specify exactly two node indexes: node on which to report, and reported node";
  }
  group.member(on).node.reportUnreachable(group.member(reported).id);
  return undefined;
}

function sendSnapshot(group: Group, command: Command): Complaint {
  const [from, to, ...more] = ids(command);
  if (from === undefined || to === undefined || more.length > 0) {
    throw new TranscriptError("send-snapshot needs a sender and a receiver");
  }
  group.sendSnapshot(from, to);
  return undefined;
}

function transferLeadership(group: Group, command: Command): Complaint {
  const from = group.member(parseInteger(requiredValue(command, "from")));
  const to = group.member(parseInteger(requiredValue(command, "to")));
  from.node.transferLeader(to.id);
  return undefined;
}

function stabilize(group: Group, command: Command): Complaint {
  const { level } = group.output;
  try {
    for (const { key, values = [] } of command.args) {
      if (key !== "log-level") continue;
      for (const value of values) if (!group.output.setLevel(value)) return unknownLevel();
    }
    return group.stabilize(ids(command));
  } finally {
    group.output.level = level;
  }
}

function printStates(group: Group): void {
  for (const { node } of group.members) {
    const { id, state, hardState, lead, config } = node.status();
    const role = votersOf(config).includes(id) ? "(Voter)" : "(Non-Voter)";
    group.output.write(`${id}: ${state} ${role} Term:${hardState.term} Lead:${lead}\n`);
  }
}

function printStatus(group: Group, id: number): void {
  for (const progress of group.member(id).node.status().progress) {
    group.output.write(`${progress.id}: ${describeProgress(progress)}\n`);
  }
}
