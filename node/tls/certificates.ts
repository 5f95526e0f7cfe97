// Certificates made and lists of revoked ones read, with a library for X.509. It is loaded only where one of the two is
// asked for.

import { webcrypto } from "node:crypto";
import { isIP } from "node:net";

export interface SelfSignedPair {
  readonly certPem: string;
  readonly keyPem: string;
}

/** As etcd makes them for `--auto-tls`: ECDSA over P-521, a CA of its own, good for these hosts. */
export async function makeSelfSigned(
  hosts: readonly string[],
  validityYears: number,
): Promise<SelfSignedPair> {
  await import("reflect-metadata");
  const x509 = await import("@peculiar/x509");
  const algorithm = { name: "ECDSA", namedCurve: "P-521", hash: "SHA-512" };
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const notBefore = new Date();
  const notAfter = new Date(notBefore.getTime() + validityYears * 365 * 24 * 3_600_000);
  const { digitalSignature, keyEncipherment, cRLSign, keyCertSign } = x509.KeyUsageFlags;
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: Buffer.from(webcrypto.getRandomValues(new Uint8Array(15))).toString("hex"),
    name: "O=etcd",
    notBefore,
    notAfter,
    signingAlgorithm: algorithm,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(digitalSignature | keyEncipherment | cRLSign | keyCertSign, true),
      new x509.ExtendedKeyUsageExtension([
        x509.ExtendedKeyUsage.serverAuth,
        x509.ExtendedKeyUsage.clientAuth,
      ]),
      new x509.SubjectAlternativeNameExtension(
        hosts.map((value) => ({ type: isIP(value) === 0 ? ("dns" as const) : ("ip" as const), value })),
      ),
    ],
  });
  const key = await webcrypto.subtle.exportKey("pkcs8", keys.privateKey);
  const keyBase64 = Buffer.from(key).toString("base64").replace(/.{64}/g, "$&\n");
  return {
    certPem: `${certificate.toString("pem")}\n`,
    keyPem: `-----BEGIN PRIVATE KEY-----\n${keyBase64}\n-----END PRIVATE KEY-----\n`,
  };
}

/** Serial numbers of a revocation list in PEM or DER, in lower-case hex without leading zeros. Rejects for what is none. */
export async function readRevoked(bytes: Uint8Array): Promise<ReadonlySet<string>> {
  await import("reflect-metadata");
  const { X509Crl } = await import("@peculiar/x509");
  const text = Buffer.from(bytes).toString("latin1");
  const crl = new X509Crl(text.includes("-----BEGIN") ? text : new Uint8Array(bytes));
  return new Set(crl.entries.map(({ serialNumber }) => serialOf(serialNumber)));
}

export function serialOf(hex: string): string {
  return hex.toLowerCase().replace(/^0+(?=.)/, "");
}
