// Assertions are always on: a broken invariant ends the process instead of spreading. The operator shares no
// code with the member, so it has its own.

export class AssertionFailure extends Error {
  override readonly name = "AssertionFailure";
}

/** Throws AssertionFailure when `condition` does not hold. The message is static; values go into `details`. */
export function assert(
  condition: boolean,
  message: string,
  details?: Readonly<Record<string, unknown>>,
): asserts condition {
  if (!condition) throw new AssertionFailure(details ? `${message} ${JSON.stringify(details)}` : message);
}

/** Ends a switch over a union: unreachable for the type checker, an AssertionFailure at run time. */
export function never(value: never): never {
  throw new AssertionFailure(`unreachable case ${JSON.stringify(value)}`);
}

/** The value itself, known to be there. */
export function must<T>(
  value: T | undefined,
  message: string,
  details?: Readonly<Record<string, unknown>>,
): T {
  assert(value !== undefined, message, details);
  return value;
}
