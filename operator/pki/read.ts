// What certificates in PEM say.
import { createPrivateKey, X509Certificate } from "node:crypto";

export interface CertificateContent {
  readonly fingerprint: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

/** tls.crt, tls.key and ca.crt of a Secret; undefined for a key that is not there. */
export interface PemFiles {
  readonly certPem: string | undefined;
  readonly keyPem: string | undefined;
  readonly caPem: string | undefined;
}

export type PemContent =
  | {
      readonly isSound: true;
      readonly certificate: CertificateContent;
      readonly trusted: readonly string[];
      /** Fingerprint of the one in ca.crt that signed the certificate; undefined behind others in between. */
      readonly signer?: string;
    }
  | { readonly isSound: false; readonly problem: string };

/** Whether the three fit together, and what they say. */
export function readPem({ certPem, keyPem, caPem }: PemFiles): PemContent {
  const chain = parsed("tls.crt", certPem);
  if (typeof chain === "string") return { isSound: false, problem: chain };
  const trusted = parsed("ca.crt", caPem);
  if (typeof trusted === "string") return { isSound: false, problem: trusted };
  const [leaf] = chain;
  if (leaf === undefined) return { isSound: false, problem: "tls.crt holds no certificate" };
  const keyProblem = problemOfKey(leaf, keyPem);
  if (keyProblem !== undefined) return { isSound: false, problem: keyProblem };
  const signer = trusted.find((one) => isSignedBy(leaf, one));
  if (signer === undefined && chain.length === 1) {
    return { isSound: false, problem: "tls.crt is signed by no certificate of ca.crt" };
  }
  return {
    isSound: true,
    certificate: contentOf(leaf),
    trusted: trusted.map(fingerprintOf),
    ...(signer === undefined ? {} : { signer: fingerprintOf(signer) }),
  };
}

function parsed(file: string, pem: string | undefined): readonly X509Certificate[] | string {
  if (pem === undefined) return `${file} is not there`;
  const texts = pem.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g);
  if (texts === null) return `${file} holds no certificate in PEM`;
  try {
    return texts.map((text) => new X509Certificate(text));
  } catch {
    return `${file} holds a certificate that cannot be read`;
  }
}

function problemOfKey(leaf: X509Certificate, keyPem: string | undefined): string | undefined {
  if (keyPem === undefined) return "tls.key is not there";
  try {
    return leaf.checkPrivateKey(createPrivateKey(keyPem)) ? undefined : "tls.key is not the key of tls.crt";
  } catch {
    return "tls.key holds no private key that can be read";
  }
}

function isSignedBy(leaf: X509Certificate, authority: X509Certificate): boolean {
  return leaf.checkIssued(authority) && leaf.verify(authority.publicKey);
}

function contentOf(certificate: X509Certificate): CertificateContent {
  return {
    fingerprint: fingerprintOf(certificate),
    notBeforeMs: certificate.validFromDate.getTime(),
    notAfterMs: certificate.validToDate.getTime(),
  };
}

/** The first 64 bits of the SHA-256, in hexadecimal. */
function fingerprintOf(certificate: X509Certificate): string {
  return certificate.fingerprint256.replaceAll(":", "").slice(0, 16).toLowerCase();
}
