// The adapter: ECDSA over P-256 by WebCrypto, certificates by a library for X.509, which is loaded when it is needed.
import { createPrivateKey, webcrypto } from "node:crypto";
import { isIP } from "node:net";
import type { CertificateRequest, Pair, Pki, Validity } from "./port.ts";

const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
/** RFC 5280 allows 20 bytes; the first bit stays 0, because serial numbers are positive. */
const serialBytes = 16;

type Keys = Awaited<ReturnType<typeof newKeys>>;

export function createPki(): Pki {
  return {
    async makeAuthority(commonName: string, validity: Validity): Promise<Pair> {
      const x509 = await library();
      const keys = await newKeys();
      const { keyCertSign, cRLSign } = x509.KeyUsageFlags;
      const certificate = await x509.X509CertificateGenerator.createSelfSigned({
        serialNumber: newSerial(),
        name: `CN=${commonName}`,
        ...datesOf(validity),
        signingAlgorithm: algorithm,
        keys,
        extensions: [
          // It signs no further authorities.
          new x509.BasicConstraintsExtension(true, 0, true),
          new x509.KeyUsagesExtension(keyCertSign | cRLSign, true),
          await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
        ],
      });
      return pairOf(certificate.toString("pem"), keys);
    },

    async issue(authority: Pair, { commonName, hosts, ...validity }: CertificateRequest): Promise<Pair> {
      const x509 = await library();
      const issuer = new x509.X509Certificate(authority.certPem);
      const keys = await newKeys();
      const names = hosts.map((value) => ({
        type: isIP(value) === 0 ? ("dns" as const) : ("ip" as const),
        value,
      }));
      const certificate = await x509.X509CertificateGenerator.create({
        serialNumber: newSerial(),
        subject: `CN=${commonName}`,
        issuer: issuer.subject,
        ...datesOf(validity),
        signingAlgorithm: algorithm,
        publicKey: keys.publicKey,
        signingKey: await importKey(authority.keyPem),
        extensions: [
          new x509.BasicConstraintsExtension(false, undefined, true),
          new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
          new x509.ExtendedKeyUsageExtension([
            x509.ExtendedKeyUsage.serverAuth,
            x509.ExtendedKeyUsage.clientAuth,
          ]),
          await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
          await x509.AuthorityKeyIdentifierExtension.create(await issuer.publicKey.export()),
          ...(names.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension(names)]),
        ],
      });
      return pairOf(certificate.toString("pem"), keys);
    },
  };
}

async function library() {
  await import("reflect-metadata");
  return import("@peculiar/x509");
}

function newKeys() {
  return webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
}

async function importKey(keyPem: string) {
  const der = createPrivateKey(keyPem).export({ format: "der", type: "pkcs8" });
  return webcrypto.subtle.importKey("pkcs8", new Uint8Array(der), algorithm, false, ["sign"]);
}

async function pairOf(certPem: string, keys: Keys): Promise<Pair> {
  const key = Buffer.from(await webcrypto.subtle.exportKey("pkcs8", keys.privateKey)).toString("base64");
  const lines = key.replace(/.{64}(?=.)/g, "$&\n");
  return {
    certPem: `${certPem.trimEnd()}\n`,
    keyPem: `-----BEGIN PRIVATE KEY-----\n${lines}\n-----END PRIVATE KEY-----\n`,
  };
}

function newSerial(): string {
  const bytes = webcrypto.getRandomValues(new Uint8Array(serialBytes));
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x01;
  return Buffer.from(bytes).toString("hex");
}

function datesOf({ notBeforeMs, notAfterMs }: Validity): {
  readonly notBefore: Date;
  readonly notAfter: Date;
} {
  return { notBefore: new Date(notBeforeMs), notAfter: new Date(notAfterMs) };
}
