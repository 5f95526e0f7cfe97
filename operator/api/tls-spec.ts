// spec.tls of EtcdLikeCluster. What cannot be changed member by member is fixed when the cluster is made.
import { integer, list, object, oneOf, optional, string } from "./schema.ts";

const daySeconds = 24 * 3_600;

const secretName = optional(
  string({
    description:
      "Secret with tls.crt, tls.key and ca.crt, as cert-manager writes them; all members use it. With source Secret only.",
    maxLength: 253,
    pattern: "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$",
  }),
);

const source = oneOf(["Auto", "Secret"], {
  description: "Auto: the operator makes a certificate authority and certificates, and renews them.",
  default: "Auto",
});

const sourceRules = [
  {
    rule: "(self.source == 'Secret') == has(self.secretName)",
    message: "secretName is there with source Secret, and only then",
  },
  {
    rule: "self.mode != 'None' || self.source == 'Auto'",
    message: "with mode None there are no certificates, so source is left out",
  },
];

const peer = object(
  {
    mode: oneOf(["Mutual", "None"], {
      description: "Mutual: members show each other certificates. None: they talk in clear text.",
      default: "Mutual",
    }),
    source,
    secretName,
  },
  {
    description: "Between members.",
    // Spelt out: the API server holds it against the rules before it fills in the fields' own.
    default: { mode: "Mutual", source: "Auto" },
    rules: [
      ...sourceRules,
      {
        // A peer URL with its scheme is part of a member's identity, and half a cluster cannot trust another CA.
        rule: "self == oldSelf",
        message:
          "tls.peer cannot change once the cluster exists; other certificates of the same CA go into the same Secret",
      },
    ],
  },
);

const client = object(
  {
    mode: oneOf(["None", "Server", "Mutual"], {
      description:
        "Server: clients verify the members. Mutual: members demand certificates of clients, too. None: clear text.",
      default: "None",
    }),
    source,
    secretName,
    hosts: optional(
      list(
        string({
          description: "A name, which may begin with *., or an address.",
          maxLength: 253,
          pattern: "^(\\*\\.)?[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?$|^[0-9a-fA-F:]*:[0-9a-fA-F:.]*$",
        }),
        {
          description:
            "Further names and addresses that clients use, such as a load balancer's. With source Auto only.",
          maxItems: 32,
        },
      ),
    ),
  },
  {
    description: "Between clients and members.",
    default: { mode: "None", source: "Auto" },
    rules: [
      ...sourceRules,
      {
        rule: "!has(self.hosts) || (self.mode != 'None' && self.source == 'Auto')",
        message:
          "hosts go into certificates that the operator makes: with mode Server or Mutual and source Auto",
      },
      {
        rule: "(self.mode == 'None') == (oldSelf.mode == 'None')",
        message: "tls.client.mode cannot change from or to None once the cluster exists",
      },
      {
        rule:
          "self.source == oldSelf.source && has(self.secretName) == has(oldSelf.secretName) && " +
          "(!has(self.secretName) || self.secretName == oldSelf.secretName)",
        message: "source and secretName of tls.client cannot change once the cluster exists",
      },
    ],
  },
);

const rotation = object(
  {
    renewBeforeSeconds: integer({
      description: "How long before its end a certificate, valid for 90 days, is renewed.",
      minimum: 3_600,
      maximum: 80 * daySeconds,
      default: 30 * daySeconds,
    }),
    caOverlapSeconds: integer({
      description:
        "How long clients have to take over a new ca.crt before the new certificate authority signs, and a new " +
        "certificate before the old one is no longer trusted.",
      // Less than kubelets need to bring a Secret into Pods would cut members off.
      minimum: 300,
      maximum: 365 * daySeconds,
      default: 7 * daySeconds,
    }),
  },
  { description: "How certificates of source Auto are renewed.", default: {} },
);

export const tlsSpec = object(
  { peer, client, rotation },
  { description: "Encryption between members, and between clients and members.", default: {} },
);
