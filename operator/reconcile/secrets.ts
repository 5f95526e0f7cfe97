// Secrets with certificates, as the API server has them, and what they say.
import { annotations } from "../api/group.ts";
import type { KubeObject } from "../kube/objects.ts";
import { authorityPhases, type SecretFact, type SecretNotes } from "../model/certificates.ts";
import type { Cluster } from "../model/objects.ts";
import type { MemberAccess } from "../model/observation.ts";
import { hasTls, operatorSecretNameOf, planes } from "../model/tls-names.ts";
import { readPem } from "../pki/read.ts";

export interface Secret extends KubeObject {
  readonly data?: Readonly<Record<string, string>>;
}

/** The text under a key; undefined without it. */
export function textOf({ data }: Secret, key: string): string | undefined {
  const value = data?.[key];
  return value === undefined ? undefined : Buffer.from(value, "base64").toString("utf8");
}

// Reading certificates costs more than the rest of a pass, and objects never change: a change makes another one.
const known = new WeakMap<Secret, SecretFact>();

export function secretFactOf(secret: Secret): SecretFact {
  const fact = known.get(secret) ?? read(secret);
  known.set(secret, fact);
  return fact;
}

function read(secret: Secret): SecretFact {
  const { name, resourceVersion = "" } = secret.metadata;
  const notes = notesOf(secret);
  const content = readPem({
    certPem: textOf(secret, "tls.crt"),
    keyPem: textOf(secret, "tls.key"),
    caPem: textOf(secret, "ca.crt"),
  });
  if (!content.isSound) return { name, resourceVersion, problem: content.problem, trusted: [], notes };
  if (notes.phase === "Introducing" && textOf(secret, nextCert) === undefined) {
    return { name, resourceVersion, problem: `${nextCert} is not there`, trusted: [], notes };
  }
  const { certificate, trusted, signer } = content;
  return {
    name,
    resourceVersion,
    certificate,
    trusted,
    ...(signer === undefined ? {} : { signer }),
    notes,
  };
}

/** In the Secret of a certificate authority: the pair that signs next. */
export const nextCert = "next.crt";
export const nextKey = "next.key";

function notesOf({ metadata }: Secret): SecretNotes {
  const notes = metadata.annotations ?? {};
  const hosts = notes[annotations.certificateHosts];
  const request = notes[annotations.rotationRequest];
  const writtenAtMs = Date.parse(notes[annotations.writtenAt] ?? "");
  const phase = authorityPhases.find((one) => one === notes[annotations.authorityPhase]);
  return {
    ...(hosts === undefined ? {} : { hosts }),
    ...(request === undefined ? {} : { request }),
    ...(Number.isNaN(writtenAtMs) ? {} : { writtenAtMs }),
    ...(phase === undefined ? {} : { phase }),
  };
}

/** Names of Secrets that spec names and somebody else writes. */
export function givenSecretNamesOf({ spec }: Cluster): readonly string[] {
  return [...new Set(planes.map((plane) => spec.tls[plane].secretName))].filter((name) => name !== undefined);
}

/** With what the operator speaks to members; undefined in clear text, or while there is nothing for it. */
export function accessOf(cluster: Cluster, secrets: readonly Secret[]): MemberAccess | undefined {
  if (!hasTls(cluster, "client")) return undefined;
  const secret = secrets.find(({ metadata }) => metadata.name === operatorSecretNameOf(cluster));
  if (secret === undefined || secretFactOf(secret).problem !== undefined) return undefined;
  const [caPem, certPem, keyPem] = ["ca.crt", "tls.crt", "tls.key"].map((key) => textOf(secret, key));
  if (caPem === undefined || certPem === undefined || keyPem === undefined) return undefined;
  return { caPem, certPem, keyPem };
}
