// Conditions of resources that are not looked at as a whole each time: those not spoken of stay.
import type { Condition } from "../../api/conditions.ts";
import { secondTime } from "../../lib/time.ts";

export function withConditions(
  before: readonly Condition[] = [],
  verdicts: readonly Pick<Condition, "type" | "status" | "reason" | "message">[],
  { nowMs, generation }: { readonly nowMs: number; readonly generation: number | undefined },
): readonly Condition[] {
  const changed = verdicts.map((verdict): Condition => {
    const old = before.find(({ type }) => type === verdict.type);
    return {
      ...verdict,
      message: verdict.message.slice(0, 4_096),
      observedGeneration: generation ?? 0,
      lastTransitionTime: old?.status === verdict.status ? old.lastTransitionTime : secondTime(nowMs),
    };
  });
  const types = new Set(verdicts.map(({ type }) => type));
  return [...before.filter(({ type }) => !types.has(type)), ...changed];
}
