// Assertions are always on: a broken invariant ends the process instead of spreading.

/** The class of error an assertion raises; nothing catches it to go on. */
export class AssertionFailure extends Error {
  override readonly name = "AssertionFailure";
  readonly details: Readonly<Record<string, unknown>> | undefined;

  constructor(message: string, details?: Readonly<Record<string, unknown>>) {
    super(details === undefined ? message : `${message} ${describe(details)}`);
    this.details = details;
  }
}

/** Throws AssertionFailure when `condition` does not hold. The message is static; values go into `details`. */
export function assert(
  condition: boolean,
  message: string,
  details?: Readonly<Record<string, unknown>>,
): asserts condition {
  if (!condition) throw new AssertionFailure(message, details);
}

/** Ends a switch over a union: unreachable for the type checker, an AssertionFailure at run time. */
export function never(value: never, message = "unreachable case"): never {
  throw new AssertionFailure(message, { value });
}

/** The value itself, known to be there. */
export function must<T>(
  value: T | undefined,
  message: string,
  details?: Readonly<Record<string, unknown>>,
): T {
  if (value === undefined) throw new AssertionFailure(message, details);
  return value;
}

function describe(details: Readonly<Record<string, unknown>>): string {
  return JSON.stringify(details, (_key, value) => (typeof value === "bigint" ? value.toString(16) : value));
}
