// From the configuration of one side to its credentials, made where the flags ask for that.

import type { TlsConfig } from "../cli/tls-config.ts";
import type { EndpointUrl } from "../cli/values.ts";
import type { Logger } from "../lib/log.ts";
import { Credentials } from "./credentials.ts";
import { ciphersOf, tlsVersionOf } from "./go-names.ts";
import { selfSignedFiles } from "./self-signed.ts";
import type { TlsSettings } from "./settings.ts";

export interface TlsPair {
  /** For listeners. */
  readonly server: Credentials;
  /** For connections that this member opens. */
  readonly client: Credentials;
}

export interface TlsOpenOptions {
  readonly config: TlsConfig;
  /** Their hosts are the names of a certificate that is made. */
  readonly listenUrls: readonly EndpointUrl[];
  /** Where a pair that is made is kept. */
  readonly fixturesPath: string;
  readonly log: Logger;
}

/** Undefined when there is no certificate. Rejects when one cannot be used, or a suite is not known. */
export async function openTls(options: TlsOpenOptions): Promise<TlsPair | undefined> {
  const { config, listenUrls, fixturesPath, log } = options;
  const { minVersion, maxVersion, cipherSuites, isAuto, validityYears, ...rest } = config;
  const ciphers = ciphersOf(cipherSuites);
  let { certFile, keyFile } = config;
  const isSelfSigned = isAuto && certFile === "";
  if (isSelfSigned) {
    const hosts = [...new Set(listenUrls.map(({ host }) => host))];
    ({ certFile, keyFile } = await selfSignedFiles(fixturesPath, hosts, validityYears, log));
  }
  if (certFile === "") return undefined;
  const settings: TlsSettings = {
    ...rest,
    certFile,
    keyFile,
    minVersion: tlsVersionOf(minVersion) ?? "TLSv1.2",
    maxVersion: tlsVersionOf(maxVersion),
    ciphers,
    isSelfSigned,
  };
  return {
    server: await Credentials.open(settings, "server", log),
    client: await Credentials.open(settings, "client", log),
  };
}
