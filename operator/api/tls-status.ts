// What is known about the certificates of a cluster: status.certificates.
import { dateTime, type Infer, list, object, oneOf, optional, string } from "./schema.ts";

const planeStatus = object(
  {
    plane: oneOf(["Peer", "Client"], { description: "Between members, or between clients and members." }),
    source: oneOf(["Auto", "Secret"], { description: "Who makes the certificates." }),
    expiresAt: optional(dateTime("When the first of the certificates ends.")),
    authorityExpiresAt: optional(dateTime("When the certificate authority of source Auto ends.")),
    authorityPhase: optional(
      oneOf(["Steady", "Introducing", "Retiring"], {
        description:
          "Introducing: a new certificate authority is made known before it signs. Retiring: it signs, and the " +
          "old one is still trusted.",
      }),
    ),
    phaseSince: optional(dateTime("Since when, if a certificate authority is being replaced.")),
    message: optional(string({ description: "What is wrong, or waited for.", maxLength: 1024 })),
  },
  { description: "The certificates of one side of the members." },
);

export type PlaneStatus = Infer<typeof planeStatus>;

export const certificatesStatus = list(planeStatus, {
  description: "Certificates in use, by side.",
  maxItems: 2,
  keys: ["plane"],
});
