// Decisions about certificates as tables: which Secrets are there, what they say, and the one next thing.
import assert from "node:assert/strict";
import { test } from "node:test";
import { type AuthorityPhase, noteOf, type SecretFact } from "../model/certificates.ts";
import { memberHostsOf } from "../model/tls-names.ts";
import { decide } from "./decide.ts";
import { nowMs, observationOf, type Situation, tlsOf } from "./testing/situation.ts";

const dayMs = 86_400_000;
const minuteMs = 60_000;

/** A cluster of one member with TLS between members only, where the table does not say otherwise. */
const base: Situation = { replicas: 1, spec: { replicas: 1, tls: tlsOf("Mutual", "None") } };
const withClients = (more: object = {}): Situation => ({
  replicas: 1,
  spec: { replicas: 1, tls: tlsOf("Mutual", "Mutual", more) },
});

interface Given {
  readonly daysLeft?: number;
  readonly signer?: string;
  readonly trusted?: readonly string[];
  readonly writtenAgoMs?: number;
  readonly phase?: AuthorityPhase;
  readonly request?: string;
  readonly hosts?: string;
  readonly problem?: string;
}

function secret(name: string, given: Given): SecretFact {
  const { daysLeft = 80, signer = "one", trusted = ["one"], writtenAgoMs = dayMs, problem } = given;
  const { phase, request, hosts } = given;
  const notes = {
    writtenAtMs: nowMs - writtenAgoMs,
    ...(phase === undefined ? {} : { phase }),
    ...(request === undefined ? {} : { request: noteOf(request) }),
    ...(hosts === undefined ? {} : { hosts }),
  };
  if (problem !== undefined) return { name, resourceVersion: "7", problem, trusted: [], notes };
  const certificate = {
    fingerprint: signer,
    notBeforeMs: nowMs - 90 * dayMs,
    notAfterMs: nowMs + daysLeft * dayMs,
  };
  return { name, resourceVersion: "7", certificate, trusted, signer, notes };
}

function authority(plane: "peer" | "client", given: Given = {}): SecretFact {
  return secret(`c-${plane}-ca`, { daysLeft: 3_000, phase: "Steady", ...given });
}

function leaf(plane: "peer" | "client", given: Given = {}): SecretFact {
  const { cluster } = observationOf(base);
  return secret(`c-0-${plane}-tls`, { hosts: noteOf(memberHostsOf(cluster, plane, "c-0").join()), ...given });
}

const forOperator = (given: Given = {}) => secret("c-operator-tls", { hosts: noteOf(""), ...given });
const forClients = (given: Given = {}) => secret("c-client-tls", { hosts: noteOf(""), ...given });

function next(situation: Situation, ...secrets: readonly SecretFact[]): string {
  const { step } = decide(observationOf({ ...situation, secrets }));
  if (step.kind === "Wait") return `Wait ${step.reason}`;
  if (step.kind !== "Act") return step.kind;
  const { action } = step;
  switch (action.kind) {
    case "CreateAuthority":
      return `${action.kind} ${action.plane}`;
    case "RotateAuthority":
      return `${action.kind} ${action.plane} ${action.to}`;
    case "IssueCertificate":
      return `${action.kind} ${action.name}${action.resourceVersion === undefined ? "" : " again"}`;
    case "UpdateTrust":
      return `${action.kind} ${action.name}`;
    default:
      return action.kind;
  }
}

function conditionOf(type: string, situation: Situation, ...secrets: readonly SecretFact[]): string {
  const { status } = decide(observationOf({ ...situation, secrets }));
  const found = status.conditions?.find((one) => one.type === type);
  return `${found?.status} ${found?.reason}: ${found?.message}`;
}

test("an authority comes first, then a certificate for everybody", () => {
  assert.equal(next(base), "CreateAuthority peer");
  assert.equal(next(base, authority("peer")), "IssueCertificate c-0-peer-tls");
  assert.equal(next(base, authority("peer"), leaf("peer")), "Rest");
  const peers = [authority("peer"), leaf("peer")];
  assert.equal(next(withClients(), ...peers), "CreateAuthority client");
  const started = [...peers, authority("client")];
  assert.equal(next(withClients(), ...started), "IssueCertificate c-operator-tls");
  assert.equal(next(withClients(), ...started, forOperator()), "IssueCertificate c-client-tls");
  assert.equal(
    next(withClients(), ...started, forOperator(), forClients()),
    "IssueCertificate c-0-client-tls",
  );
  assert.equal(next(withClients(), ...started, forOperator(), forClients(), leaf("client")), "Rest");
});

test("no Pod is made before its certificate, nor with one that would end it", () => {
  const missing = { ...base, withoutPod: ["c-0"], hasQuorum: false };
  assert.equal(next(missing, authority("peer"), leaf("peer")), "CreatePod");
  const broken = leaf("peer", { problem: "tls.key is not there" });
  assert.equal(next(missing, authority("peer"), broken), "Wait CertificateProblem");
});

test("a certificate is renewed before its end, and when what it was made from has changed", () => {
  const authorities = authority("peer");
  assert.equal(next(base, authorities, leaf("peer", { daysLeft: 31 })), "Rest");
  assert.equal(
    next(base, authorities, leaf("peer", { daysLeft: 30 })),
    "IssueCertificate c-0-peer-tls again",
  );
  assert.equal(
    next(base, authorities, leaf("peer", { daysLeft: -1 })),
    "IssueCertificate c-0-peer-tls again",
  );
  // There is nothing to gain while the authority ends first.
  assert.equal(
    next(
      base,
      authority("peer", { daysLeft: 20, phase: "Introducing", writtenAgoMs: 0 }),
      leaf("peer", { daysLeft: 20 }),
    ),
    "Rest",
  );
  const hosts = withClients({ hosts: ["etcd.example.com"] });
  const all = [authorities, leaf("peer"), authority("client"), forOperator(), forClients()];
  assert.equal(next(hosts, ...all, leaf("client")), "IssueCertificate c-0-client-tls again");
});

test("a rotation that is asked for is done once", () => {
  const asked = { ...base, annotations: { "etcdlike.io/rotate-certificates": "1" } };
  assert.equal(next(asked, authority("peer"), leaf("peer")), "IssueCertificate c-0-peer-tls again");
  assert.equal(next(asked, authority("peer"), leaf("peer", { request: "1" })), "Rest");
  const again = { ...base, annotations: { "etcdlike.io/rotate-certificates": "2" } };
  assert.equal(
    next(again, authority("peer"), leaf("peer", { request: "1" })),
    "IssueCertificate c-0-peer-tls again",
  );
});

test("a new authority is known to all before it signs, and the old one trusted until nobody needs it", () => {
  const asked = { ...base, annotations: { "etcdlike.io/rotate-authorities": "1" } };
  const ca = (phase: AuthorityPhase, given: Given = {}) =>
    authority("peer", { phase, request: "1", trusted: ["one", "two"], ...given });
  assert.equal(next(asked, authority("peer"), leaf("peer")), "RotateAuthority peer Introducing");
  assert.equal(next(asked, ca("Introducing"), leaf("peer")), "UpdateTrust c-0-peer-tls");
  const knows = (given: Given) => leaf("peer", { trusted: ["one", "two"], ...given });
  assert.equal(next(asked, ca("Introducing"), knows({ writtenAgoMs: 4 * minuteMs })), "Rest");
  assert.equal(
    next(asked, ca("Introducing"), knows({ writtenAgoMs: 5 * minuteMs })),
    "RotateAuthority peer Retiring",
  );
  const signing = ca("Retiring", { signer: "two" });
  assert.equal(next(asked, signing, knows({})), "IssueCertificate c-0-peer-tls again");
  assert.equal(next(asked, signing, knows({ signer: "two", writtenAgoMs: 4 * minuteMs })), "Rest");
  assert.equal(
    next(asked, signing, knows({ signer: "two", writtenAgoMs: 5 * minuteMs })),
    "RotateAuthority peer Steady",
  );
  const steady = authority("peer", { signer: "two", trusted: ["two"], request: "1" });
  assert.equal(next(asked, steady, knows({ signer: "two" })), "UpdateTrust c-0-peer-tls");
  assert.equal(next(asked, steady, leaf("peer", { signer: "two", trusted: ["two"] })), "Rest");
});

test("clients have the overlap that spec gives them, before the new authority signs and after", () => {
  const trusted = ["one", "two"];
  const others = [authority("peer"), leaf("peer")];
  for (const [phase, signer, to] of [
    ["Introducing", "one", "Retiring"],
    ["Retiring", "two", "Steady"],
  ] as const) {
    const all = (writtenAgoMs: number) => [
      ...others,
      authority("client", { phase, signer, trusted, writtenAgoMs }),
      ...[
        forOperator({ signer, trusted }),
        forClients({ signer, trusted }),
        leaf("client", { signer, trusted }),
      ],
    ];
    assert.equal(next(withClients(), ...all(7 * dayMs - 1)), "Rest");
    assert.equal(next(withClients(), ...all(7 * dayMs)), `RotateAuthority client ${to}`);
  }
});

test("an authority is replaced in time for its last certificate", () => {
  const [early, late] = [authority("peer", { daysLeft: 91 }), authority("peer", { daysLeft: 90 })];
  assert.equal(next(base, early, leaf("peer")), "Rest");
  assert.equal(next(base, late, leaf("peer")), "RotateAuthority peer Introducing");
});

test("while a Secret is broken, nothing is done that relies on what it holds", () => {
  const broken = leaf("peer", { problem: "tls.crt is not there" });
  assert.equal(next(base, authority("peer"), broken), "Rest");
  const ca = authority("peer", { phase: "Introducing", trusted: ["one", "two"] });
  assert.equal(next(base, ca, broken), "Rest");
  assert.match(
    conditionOf("CertificatesReady", base, ca, broken),
    /^False Problem: Secret c-0-peer-tls: tls.crt is not there$/,
  );
  assert.match(conditionOf("Degraded", base, ca, broken), /^True CertificateProblem/);
});

test("an authority that is lost or broken is reported, and never replaced by another", () => {
  assert.equal(next(base, leaf("peer")), "Rest");
  assert.match(
    conditionOf("CertificatesReady", base, leaf("peer")),
    /Secret c-peer-ca is gone, and with it the key of the certificate authority/,
  );
  const broken = authority("peer", { problem: "tls.key is not the key of tls.crt" });
  assert.equal(next(base, broken, leaf("peer", { daysLeft: 1 })), "Rest");
  assert.match(
    conditionOf("CertificatesReady", base, broken, leaf("peer")),
    /c-peer-ca: tls.key is not the key/,
  );
});

test("a Secret that somebody else writes is used as it is, and reported when it cannot be or ends", () => {
  const tls = {
    ...tlsOf("None", "None"),
    client: { mode: "Mutual", source: "Secret", secretName: "given" },
  };
  const situation: Situation = { replicas: 1, spec: { replicas: 1, tls } };
  const given = (daysLeft: number) => secret("given", { daysLeft, hosts: "", trusted: ["theirs"] });
  assert.equal(next(situation, given(80)), "Rest");
  assert.match(conditionOf("CertificatesReady", situation, given(80)), /^True Valid/);
  assert.match(conditionOf("CertificatesReady", situation), /Secret given is not there/);
  assert.match(conditionOf("CertificatesReady", situation, given(2)), /ends at .* and is not renewed/);
  assert.match(conditionOf("CertificatesReady", situation, given(-1)), /the certificate ended at/);
  assert.equal(next({ ...situation, outdated: ["c-0"] }), "Wait CertificateProblem");
});

test("status says when the first certificate ends, and how far an authority's replacement is", () => {
  const ca = authority("peer", { phase: "Introducing", trusted: ["one", "two"], writtenAgoMs: minuteMs });
  const { status } = decide(
    observationOf({ ...base, secrets: [ca, leaf("peer", { trusted: ["one", "two"], writtenAgoMs: 0 })] }),
  );
  assert.deepEqual(status.certificates, [
    {
      plane: "Peer",
      source: "Auto",
      expiresAt: "2026-03-22T12:00:00Z",
      authorityExpiresAt: "2034-03-20T12:00:00Z",
      authorityPhase: "Introducing",
      phaseSince: "2026-01-01T11:59:00Z",
      message: "until 2026-01-01T12:05:00Z at least",
    },
  ]);
  assert.equal(status.conditions?.find((one) => one.type === "Ready")?.status, "True");
  const plain: Situation = { replicas: 1, spec: { replicas: 1 } };
  const withoutTls = decide(observationOf(plain)).status;
  assert.equal(withoutTls.certificates, undefined);
  assert.ok(!withoutTls.conditions?.some((one) => one.type === "CertificatesReady"));
});

test("a cluster whose members are known by another scheme is left alone", () => {
  const { step } = decide({
    ...observationOf({ ...base, secrets: [authority("peer"), leaf("peer")] }),
    roster: {
      clusterId: "c1",
      members: [{ id: "a0", name: "c-0", peerUrl: "http://c-0.c-peer.default.svc:2380", isLearner: false }],
      alarms: [],
    },
  });
  assert.equal(step.kind === "Wait" && step.reason, "NotSafe");
});
