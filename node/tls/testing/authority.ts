// A certificate authority for tests: issues pairs and lists of revoked ones into a folder.

import "reflect-metadata";
import { webcrypto } from "node:crypto";
import { writeFileSync } from "node:fs";
import { isIP } from "node:net";
import * as x509 from "@peculiar/x509";

const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const dayMs = 24 * 3_600_000;

export interface IssuedPair {
  readonly certFile: string;
  readonly keyFile: string;
  /** Hex. */
  readonly serial: string;
}

export interface IssueOptions {
  readonly name: string;
  readonly commonName?: string;
  readonly hosts?: readonly string[];
  readonly isExpired?: boolean;
  /** What it may be used for, by name of RFC 5280; anything otherwise. */
  readonly usages?: readonly (keyof typeof x509.ExtendedKeyUsage)[];
}

type Keys = Parameters<typeof x509.X509CertificateGenerator.createSelfSigned>[0]["keys"];

interface AuthorityParts {
  readonly folder: string;
  readonly name: string;
  readonly keys: Keys;
  readonly certificate: x509.X509Certificate;
  readonly isRoot: boolean;
}

export class Authority {
  readonly caFile: string;
  readonly #folder: string;
  readonly #keys: Keys;
  readonly #certificate: x509.X509Certificate;
  /** Sent behind what it issues; empty for one that is trusted itself. */
  readonly #chainPem: string;
  #issued: number;

  private constructor({ folder, name, keys, certificate, isRoot }: AuthorityParts) {
    this.#folder = folder;
    this.caFile = `${folder}/${name}.crt`;
    this.#keys = keys;
    this.#certificate = certificate;
    this.#chainPem = isRoot ? "" : `\n${certificate.toString("pem")}`;
    // Serial numbers of two authorities should not meet, as revocation lists know nothing else.
    this.#issued = isRoot ? 0x10 : 0x1000;
    writeFileSync(this.caFile, certificate.toString("pem"));
  }

  static async create(folder: string, name = "ca"): Promise<Authority> {
    const keys = await newKeys();
    const certificate = await x509.X509CertificateGenerator.createSelfSigned({
      serialNumber: "01",
      name: `CN=${name}`,
      notBefore: new Date(Date.now() - dayMs),
      notAfter: new Date(Date.now() + 30 * dayMs),
      signingAlgorithm: algorithm,
      keys,
      extensions: [new x509.BasicConstraintsExtension(true, undefined, true)],
    });
    return new Authority({ folder, name, keys, certificate, isRoot: true });
  }

  /** Another authority, below this one. What it issues comes with its certificate. */
  async intermediate(name: string): Promise<{ readonly authority: Authority; readonly serial: string }> {
    const keys = await newKeys();
    const serial = (this.#issued++).toString(16);
    const certificate = await x509.X509CertificateGenerator.create({
      serialNumber: serial,
      subject: `CN=${name}`,
      issuer: this.#certificate.subject,
      notBefore: new Date(Date.now() - dayMs),
      notAfter: new Date(Date.now() + 30 * dayMs),
      signingAlgorithm: algorithm,
      publicKey: keys.publicKey,
      signingKey: this.#keys.privateKey,
      extensions: [new x509.BasicConstraintsExtension(true, undefined, true)],
    });
    const authority = new Authority({ folder: this.#folder, name, keys, certificate, isRoot: false });
    return { authority, serial };
  }

  /** Writes NAME.crt and NAME.key, over those that were there. */
  async issue({
    name,
    commonName = name,
    hosts = [],
    isExpired = false,
    usages = [],
  }: IssueOptions): Promise<IssuedPair> {
    const keys = await newKeys();
    const serial = (this.#issued++).toString(16);
    const certificate = await x509.X509CertificateGenerator.create({
      serialNumber: serial,
      subject: `CN=${commonName}`,
      issuer: this.#certificate.subject,
      notBefore: new Date(Date.now() - 2 * dayMs),
      notAfter: new Date(Date.now() + (isExpired ? -dayMs : 30 * dayMs)),
      signingAlgorithm: algorithm,
      publicKey: keys.publicKey,
      signingKey: this.#keys.privateKey,
      extensions: [
        new x509.SubjectAlternativeNameExtension(
          hosts.map((value) => ({ type: isIP(value) === 0 ? ("dns" as const) : ("ip" as const), value })),
        ),
        ...(usages.length === 0
          ? []
          : [new x509.ExtendedKeyUsageExtension(usages.map((usage) => x509.ExtendedKeyUsage[usage]))]),
      ],
    });
    const key = Buffer.from(await webcrypto.subtle.exportKey("pkcs8", keys.privateKey)).toString("base64");
    const certFile = `${this.#folder}/${name}.crt`;
    const keyFile = `${this.#folder}/${name}.key`;
    writeFileSync(certFile, `${certificate.toString("pem")}${this.#chainPem}`);
    writeFileSync(keyFile, `-----BEGIN PRIVATE KEY-----\n${key}\n-----END PRIVATE KEY-----\n`);
    return { certFile, keyFile, serial };
  }

  /** Writes the list of these serials, as PEM; in DER, as real members want it, when asked to. */
  async revoke(file: string, serials: readonly string[], form: "pem" | "der" = "pem"): Promise<void> {
    const crl = await x509.X509CrlGenerator.create({
      issuer: this.#certificate.subject,
      thisUpdate: new Date(),
      nextUpdate: new Date(Date.now() + dayMs),
      signingAlgorithm: algorithm,
      signingKey: this.#keys.privateKey,
      entries: serials.map((serialNumber) => ({ serialNumber, revocationDate: new Date() })),
    });
    writeFileSync(file, form === "pem" ? crl.toString("pem") : Buffer.from(crl.rawData));
  }
}

function newKeys(): Promise<Keys> {
  return webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]) as Promise<Keys>;
}
