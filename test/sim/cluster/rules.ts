// The rules that clusters are held to, and how often each was asked for: a rule that is never asked proves nothing.

export const rules = [
  "electionSafety",
  "oneVoteATerm",
  "logMatching",
  "leaderCompleteness",
  "stateMachineSafety",
  "acknowledgedWrites",
  "linearizability",
  "watch",
  "snapshots",
  "equalHashes",
  "leaseExpiry",
  "membershipAgreement",
  "oneChangeAtATime",
  "liveness",
] as const;
export type RuleName = (typeof rules)[number];

export class RuleBroken extends Error {
  override readonly name = "RuleBroken";
  readonly rule: RuleName;

  constructor(rule: RuleName, text: string) {
    super(`${rule}: ${text}`);
    this.rule = rule;
  }
}

export class RuleBook {
  readonly asked = new Map<RuleName, number>(rules.map((rule) => [rule, 0]));

  ask(rule: RuleName): void {
    this.asked.set(rule, (this.asked.get(rule) ?? 0) + 1);
  }
}
