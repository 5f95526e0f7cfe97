// The promises that a run is held to. Each checker is a function named by the promise; it counts how often it was
// asked, because a checker that is never asked proves nothing.

export const promiseNames = [
  "acknowledgedWritesSurvive",
  "appliedEntriesSurvive",
  "eachEntryIsOneRequest",
  "eachRevisionIsOneWrite",
  "revisionsNeverGoBack",
  "answersFollowTheLog",
  "readsAreLinearizable",
  "serializableReadsAreConsistent",
  "appliedIsCommitted",
  "committedIsDurable",
  "storeIsNotAheadOfTheLog",
  "storeEqualsAReplay",
  "hashEqualsAReplay",
  "bootSucceeds",
  "failureEndsTheMember",
  "nothingIsAcknowledgedAfterAFailure",
  "stopLosesNothing",
  "leasesAreNotRevokedEarly",
  "leasesAreRevokedEventually",
  "leasesDeleteOnlyAttachedKeys",
  "leaseAnswersAreTrue",
  "progressAfterFaults",
  "watchFilter",
  "watchOrdered",
  "watchUnique",
  "watchAtomic",
  "watchReliable",
  "watchResumable",
  "watchBookmark",
  "watchIsCreate",
  "watchPrevious",
  "watchCompleteOrTold",
  "watchCanceledByCompaction",
] as const;

export type PromiseName = (typeof promiseNames)[number];

const shownBefore = 60;
const shownLength = 240;

/** A promise was broken. */
export class Broken extends Error {
  override readonly name = "Broken";
  readonly promise: PromiseName;

  constructor(promise: PromiseName, message: string) {
    super(`${promise}: ${message}`);
    this.promise = promise;
  }
}

export class Promises {
  readonly asked = new Map<PromiseName, number>(promiseNames.map((name) => [name, 0]));

  /** Asks once. Throws Broken when the promise does not hold. */
  hold(promise: PromiseName, isKept: boolean, message: () => string): void {
    this.asked.set(promise, (this.asked.get(promise) ?? 0) + 1);
    if (!isKept) throw new Broken(promise, message());
  }

  /** Both are the same. */
  equal(promise: PromiseName, actual: unknown, expected: unknown, what: () => string): void {
    this.hold(
      promise,
      actual === expected,
      () => `${what()}: ${difference(String(actual), String(expected))}`,
    );
  }
}

/** Long texts are shown from shortly before they differ. */
function difference(actual: string, expected: string): string {
  let same = 0;
  while (same < actual.length && actual[same] === expected[same]) same++;
  const start = Math.max(0, same - shownBefore);
  const shown = (text: string): string => (start > 0 ? "..." : "") + text.slice(start, start + shownLength);
  return `got ${shown(actual)}, expected ${shown(expected)}`;
}
