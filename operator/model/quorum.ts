// Arithmetic on the voters of the live member list; never on Pods or on what spec wishes.

/** Votes that decide among `voters`. */
export function quorumOf(voters: number): number {
  return Math.floor(voters / 2) + 1;
}

export interface Votes {
  readonly voters: number;
  /** Voters that answer linearizable reads, without the member in question. */
  readonly healthyOthers: number;
}

/** Whether the cluster stays writable while this voter is down. A single voter has nobody to wait for. */
export function canRestart({ voters, healthyOthers }: Votes): boolean {
  return voters === 1 || healthyOthers >= quorumOf(voters);
}

/** Whether the voters that remain can decide, without this one. */
export function canRemove({ voters, healthyOthers }: Votes): boolean {
  return voters > 1 && healthyOthers >= quorumOf(voters - 1);
}
