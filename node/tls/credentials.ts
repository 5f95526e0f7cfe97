// The files behind TLS, read when they have changed. Connections that stand keep what they began with; a pair that
// cannot be used leaves the one before in force, and the log says so.

import { X509Certificate } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { createSecureContext, type SecureContext, type SecureContextOptions } from "node:tls";
import type { Logger } from "../lib/log.ts";
import { readRevoked } from "./certificates.ts";
import type { TlsSettings } from "./settings.ts";

export type Side = "server" | "client";

/** As in etcd, a list that cannot be read revokes everything: nobody knows what it would say. */
export type RevokedSerials =
  | { readonly ok: true; readonly serials: ReadonlySet<string> }
  | { readonly ok: false };

export class Credentials {
  readonly settings: TlsSettings;
  readonly #side: Side;
  readonly #log: Logger;
  #fingerprint = "";
  #context: SecureContext | undefined;
  #options: SecureContextOptions = {};
  #crlFingerprint = "";
  #revoked: RevokedSerials = { ok: true, serials: new Set() };

  private constructor(settings: TlsSettings, side: Side, log: Logger) {
    this.settings = settings;
    this.#side = side;
    this.#log = log;
  }

  /** Rejects when a file is missing or none of its kind: a member does not start with a pair that cannot serve. */
  static async open(settings: TlsSettings, side: Side, log: Logger): Promise<Credentials> {
    const credentials = new Credentials(settings, side, log);
    credentials.#load();
    await credentials.#loadRevoked();
    return credentials;
  }

  /** The pair and the CAs as the files say now, or as they last said something sound. */
  current(): { readonly context: SecureContext; readonly options: SecureContextOptions } {
    try {
      this.#load();
    } catch (error) {
      this.#log.warn("cannot load TLS files; going on with the ones before", {
        "cert-file": this.settings.certFile,
        "key-file": this.settings.keyFile,
        error,
      });
    }
    return { context: this.#context as SecureContext, options: this.#options };
  }

  /** Serial numbers that are revoked, as the file says now. */
  async revoked(): Promise<RevokedSerials> {
    try {
      await this.#loadRevoked();
    } catch (error) {
      this.#log.warn(
        "cannot load the list of revoked certificates; refusing every certificate until it is sound",
        {
          "crl-file": this.settings.crlFile,
          error,
        },
      );
      this.#revoked = { ok: false };
    }
    return this.#revoked;
  }

  #load(): void {
    const { minVersion, maxVersion, ciphers, trustedCaFile } = this.settings;
    const { certFile, keyFile } = this.#pair();
    const fingerprint = [certFile, keyFile, trustedCaFile].map(fingerprintOf).join();
    if (fingerprint === this.#fingerprint) return;
    // Noted before the attempt: a broken file is complained of once, until it changes again.
    this.#fingerprint = fingerprint;
    const options: SecureContextOptions = {
      minVersion,
      ...(maxVersion === undefined ? {} : { maxVersion }),
      ...(ciphers === "" ? {} : { ciphers }),
      ...(certFile === "" ? {} : { cert: readFileSync(certFile), key: readFileSync(keyFile) }),
      ...(trustedCaFile === "" ? {} : { ca: readCas(trustedCaFile) }),
    };
    const context = createSecureContext(options);
    this.#context = context;
    this.#options = options;
  }

  #pair(): { readonly certFile: string; readonly keyFile: string } {
    const { certFile, keyFile, clientCertFile, clientKeyFile } = this.settings;
    if (this.#side === "server" || clientCertFile === "") return { certFile, keyFile };
    return { certFile: clientCertFile, keyFile: clientKeyFile };
  }

  async #loadRevoked(): Promise<void> {
    const { crlFile } = this.settings;
    if (crlFile === "") return;
    const fingerprint = fingerprintOf(crlFile);
    if (fingerprint === this.#crlFingerprint) return;
    this.#crlFingerprint = fingerprint;
    this.#revoked = { ok: true, serials: await readRevoked(readFileSync(crlFile)) };
  }
}

/** OpenSSL takes a file without certificates for one that trusts nobody. */
function readCas(path: string): Buffer {
  const bytes = readFileSync(path);
  const certificates = bytes
    .toString("latin1")
    .match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g);
  if (certificates === null) throw new Error(`${path} holds no certificate in PEM`);
  for (const text of certificates) {
    try {
      new X509Certificate(text);
    } catch (error) {
      throw new Error(`${path} holds a certificate that cannot be read: ${String(error)}`, { cause: error });
    }
  }
  return bytes;
}

/** Changes whenever the file is written or replaced. */
function fingerprintOf(path: string): string {
  if (path === "") return "";
  const stat = statSync(path, { throwIfNoEntry: false, bigint: true });
  return stat === undefined ? "missing" : `${stat.ino} ${stat.size} ${stat.mtimeNs}`;
}
