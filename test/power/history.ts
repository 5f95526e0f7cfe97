// What clients did to a member, by revision. Every revision has exactly one operation, so the store at any
// revision is known in full: a lost write, a doubled one and a mixed-up one all show.

export interface Operation {
  readonly revision: number;
  readonly key: string;
  /** Undefined: the key was deleted. */
  readonly value: string | undefined;
}

export interface ExpectedKey {
  readonly value: string;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
}

/** The first revision of an empty store. */
export const firstRevision = 1;

/** Live keys at `revision`. `history` is in the order of revisions and without gaps. */
export function stateAt(history: readonly Operation[], revision: number): Map<string, ExpectedKey> {
  const state = new Map<string, ExpectedKey>();
  for (const operation of history) {
    if (operation.revision > revision) break;
    const { key, value, revision: modRevision } = operation;
    const known = state.get(key);
    if (value === undefined) state.delete(key);
    else {
      const createRevision = known?.createRevision ?? modRevision;
      state.set(key, { value, createRevision, modRevision, version: (known?.version ?? 0) + 1 });
    }
  }
  return state;
}

/** In the order of revisions; throws when one is missing. */
export function completeHistory(operations: readonly Operation[]): Operation[] {
  const history = [...operations].sort((a, b) => a.revision - b.revision);
  for (const [i, operation] of history.entries()) {
    if (operation.revision !== firstRevision + 1 + i) {
      throw new Error(`revision ${firstRevision + 1 + i} is missing from the history`);
    }
  }
  return history;
}
