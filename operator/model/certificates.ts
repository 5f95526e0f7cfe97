// What the Secrets of a cluster say, without their keys.
import { fnv1a } from "./names.ts";

/** A Secret that is there. */
export interface SecretFact {
  readonly name: string;
  readonly resourceVersion: string;
  /** Why it cannot be used; what else is known is left out then. */
  readonly problem?: string;
  readonly certificate?: CertificateFact;
  /** Fingerprints of the certificates in ca.crt. */
  readonly trusted: readonly string[];
  /** Fingerprint of the one of `trusted` that signed tls.crt. */
  readonly signer?: string;
  readonly notes: SecretNotes;
}

export interface CertificateFact {
  readonly fingerprint: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

/** What the operator wrote down with a Secret of its own. */
export interface SecretNotes {
  /** Of the names in the certificate, as `noteOf` makes it. */
  readonly hosts?: string;
  /** Of the request for a rotation that was in force. */
  readonly request?: string;
  /** When its contents changed last, wall clock. */
  readonly writtenAtMs?: number;
  /** Of a certificate authority. */
  readonly phase?: AuthorityPhase;
}

/**
 * Replacing a certificate authority. Steady: one signs and is trusted. Introducing: the old one signs, and the new
 * one is made known. Retiring: the new one signs, and the old one is still trusted. Each step follows only when
 * everybody had time for the one before, so at every moment any two members trust each other.
 */
export type AuthorityPhase = "Steady" | "Introducing" | "Retiring";

export const authorityPhases: readonly AuthorityPhase[] = ["Steady", "Introducing", "Retiring"];

/** Short, and different for different texts. */
export function noteOf(text: string): string {
  return fnv1a(text).toString(16).padStart(8, "0") + fnv1a(`${text}\n`).toString(16).padStart(8, "0");
}
