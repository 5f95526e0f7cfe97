// metav1.Condition, with the schema Kubernetes itself uses for it.
import { dateTime, type Infer, integer, list, object, oneOf, optional, string } from "./schema.ts";

export const condition = object(
  {
    type: string({ description: "What the condition is about.", maxLength: 63, pattern: "^[A-Z][A-Za-z]*$" }),
    status: oneOf(["True", "False", "Unknown"], { description: "Whether it holds." }),
    observedGeneration: optional(
      integer({
        description: "metadata.generation this condition was made from.",
        minimum: 0,
        format: "int64",
      }),
    ),
    lastTransitionTime: dateTime("When status changed last."),
    reason: string({
      description: "Why, as one word for programs.",
      minLength: 1,
      maxLength: 63,
      pattern: "^[A-Z][A-Za-z]*$",
    }),
    message: string({ description: "Why, for people.", maxLength: 4096 }),
  },
  { description: "One observation about the resource." },
);

export type Condition = Infer<typeof condition>;

export const conditions = list(condition, {
  description: "Observations about the resource, one of each type.",
  maxItems: 16,
  keys: ["type"],
});
