// The first difference between two decoded answers, named by its path.
import type { Outcome } from "./client.ts";
import { type Message, show, type Value } from "./messages.ts";

/** "path: expected ..., got ...", or nothing when both are equal. */
export function differ(
  expected: Value | undefined,
  got: Value | undefined,
  path = "answer",
): string | undefined {
  if (expected === undefined || got === undefined) {
    if (expected === got) return undefined;
    return `${path}: expected ${show(expected)}, got ${show(got)}`;
  }
  if (Array.isArray(expected) && Array.isArray(got)) return differLists(expected, got, path);
  if (isMessage(expected) && isMessage(got)) {
    for (const name of new Set([...Object.keys(expected), ...Object.keys(got)])) {
      const found = differ(expected[name], got[name], `${path}.${name}`);
      if (found !== undefined) return found;
    }
    return undefined;
  }
  if (expected instanceof Uint8Array && got instanceof Uint8Array) {
    if (Buffer.compare(expected, got) === 0) return undefined;
  } else if (expected === got) return undefined;
  return `${path}: expected ${show(expected)}, got ${show(got)}`;
}

function differLists(expected: readonly Value[], got: readonly Value[], path: string): string | undefined {
  for (let i = 0; i < Math.min(expected.length, got.length); i++) {
    const found = differ(expected[i], got[i], `${path}[${i}]`);
    if (found !== undefined) return found;
  }
  if (expected.length === got.length) return undefined;
  return `${path}: expected ${expected.length} items, got ${got.length}`;
}

/** The same for outcomes: an error's code and text are compared like an answer. */
export function differOutcome(expected: Outcome, got: Outcome, path = "answer"): string | undefined {
  return differ(asMessage(expected), asMessage(got), path);
}

function asMessage(outcome: Outcome): Message {
  return outcome.ok ? outcome.response : { error: { code: BigInt(outcome.code), text: outcome.text } };
}

export function showOutcome(outcome: Outcome): string {
  return outcome.ok ? show(outcome.response) : `error ${outcome.code} "${outcome.text}"`;
}

function isMessage(value: Value): value is Message {
  return typeof value === "object" && !(value instanceof Uint8Array) && !Array.isArray(value);
}
