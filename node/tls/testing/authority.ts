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
}

type Keys = Parameters<typeof x509.X509CertificateGenerator.createSelfSigned>[0]["keys"];

export class Authority {
  readonly caFile: string;
  readonly #folder: string;
  readonly #keys: Keys;
  readonly #certificate: x509.X509Certificate;
  #issued = 0x10;

  private constructor(folder: string, name: string, keys: Keys, certificate: x509.X509Certificate) {
    this.#folder = folder;
    this.caFile = `${folder}/${name}.crt`;
    this.#keys = keys;
    this.#certificate = certificate;
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
    return new Authority(folder, name, keys, certificate);
  }

  /** Writes NAME.crt and NAME.key, over those that were there. */
  async issue({ name, commonName = name, hosts = [], isExpired = false }: IssueOptions): Promise<IssuedPair> {
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
      ],
    });
    const key = Buffer.from(await webcrypto.subtle.exportKey("pkcs8", keys.privateKey)).toString("base64");
    const certFile = `${this.#folder}/${name}.crt`;
    const keyFile = `${this.#folder}/${name}.key`;
    writeFileSync(certFile, certificate.toString("pem"));
    writeFileSync(keyFile, `-----BEGIN PRIVATE KEY-----\n${key}\n-----END PRIVATE KEY-----\n`);
    return { certFile, keyFile, serial };
  }

  /** Writes the list of these serials, as PEM. */
  async revoke(file: string, serials: readonly string[]): Promise<void> {
    const crl = await x509.X509CrlGenerator.create({
      issuer: this.#certificate.subject,
      thisUpdate: new Date(),
      nextUpdate: new Date(Date.now() + dayMs),
      signingAlgorithm: algorithm,
      signingKey: this.#keys.privateKey,
      entries: serials.map((serialNumber) => ({ serialNumber, revocationDate: new Date() })),
    });
    writeFileSync(file, crl.toString("pem"));
  }
}

function newKeys(): Promise<Keys> {
  return webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]) as Promise<Keys>;
}
