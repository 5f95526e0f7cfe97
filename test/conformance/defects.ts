// Planted defects: small lies put between a member's answers and the comparison. Each must make a run fail, which
// proves that the comparison looks where it claims to.
import type { Outcome } from "./client.ts";
import type { Message, Value } from "./messages.ts";

interface Defect {
  /** Damages the answer of a call, or returns it as it is. */
  readonly answer?: (outcome: Outcome) => Outcome;
  /** Damages one message of a watch stream. */
  readonly watch?: (message: Message) => Message;
}

const defects: Readonly<Record<string, Defect>> = {
  count: {
    answer: (outcome) =>
      changed(outcome, "count", (count) => (typeof count === "bigint" ? count + 1n : count)),
  },
  more: { answer: (outcome) => changed(outcome, "more", () => false) },
  "prev-kv": {
    answer: (outcome) =>
      outcome.ok ? { ok: true, response: without(outcome.response, "prev_kv") } : outcome,
    watch: (message) => {
      const events = message["events"];
      if (!Array.isArray(events)) return message;
      return { ...message, events: events.map((event: Value) => without(event as Message, "prev_kv")) };
    },
  },
  "event-order": {
    watch: (message) => {
      const events = message["events"];
      if (!Array.isArray(events) || events.length < 2) return message;
      return { ...message, events: [...events].reverse() };
    },
  },
  "error-text": {
    answer: (outcome) =>
      outcome.ok ? outcome : { ...outcome, text: outcome.text.replace("etcdserver: ", "") },
  },
  "header-revision": {
    answer: (outcome) =>
      changed(outcome, "header", (header) => {
        const { revision } = header as Message;
        return typeof revision === "bigint" ? { ...(header as Message), revision: revision + 1n } : header;
      }),
  },
};

export const defectNames: readonly string[] = Object.keys(defects);

export function damageAnswer(defect: string | undefined, outcome: Outcome): Outcome {
  return (defect === undefined ? undefined : defects[defect]?.answer?.(outcome)) ?? outcome;
}

export function damageWatch(defect: string | undefined, message: Message): Message {
  return (defect === undefined ? undefined : defects[defect]?.watch?.(message)) ?? message;
}

function changed(outcome: Outcome, field: string, change: (value: Value) => Value): Outcome {
  if (!outcome.ok || outcome.response[field] === undefined) return outcome;
  return { ok: true, response: { ...outcome.response, [field]: change(outcome.response[field]) } };
}

function without(message: Message, field: string): Message {
  return Object.fromEntries(Object.entries(message).filter(([name]) => name !== field));
}
