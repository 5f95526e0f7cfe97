// The TLS flags of the client and the peer side, as one configuration each, with etcd's checks and texts.

import { reader } from "./reader.ts";
import { ConfigError, type Settings } from "./sources.ts";

export interface TlsConfig {
  readonly certFile: string;
  readonly keyFile: string;
  /** For connections that this member opens; the pair above when empty. */
  readonly clientCertFile: string;
  readonly clientKeyFile: string;
  /** Empty: certificates of the other side are not looked at. */
  readonly trustedCaFile: string;
  /** The other side has to show a certificate of the trusted CA. */
  readonly requiresClientCert: boolean;
  /** Empty: nothing is revoked. */
  readonly crlFile: string;
  /** Not empty: the certificate of the other side has one of these names. At most one of the two lists. */
  readonly allowedCns: readonly string[];
  readonly allowedHostnames: readonly string[];
  /** The other side's address has to be among the names of its certificate. */
  readonly checksClientAddress: boolean;
  /** "TLS1.2" or "TLS1.3"; the second may be empty for the newest. */
  readonly minVersion: string;
  readonly maxVersion: string;
  /** Go's names. */
  readonly cipherSuites: readonly string[];
  /** Make a pair where none is given. */
  readonly isAuto: boolean;
  readonly validityYears: number;
}

export function buildClientTls(settings: Settings): TlsConfig {
  const get = reader(settings);
  return checked({
    ...common(settings),
    certFile: get("cert-file"),
    keyFile: get("key-file"),
    clientCertFile: "",
    clientKeyFile: "",
    trustedCaFile: get("trusted-ca-file"),
    requiresClientCert: get("client-cert-auth"),
    crlFile: get("client-crl-file"),
    allowedCns: [],
    allowedHostnames: get("client-cert-allowed-hostname"),
    checksClientAddress: false,
    isAuto: get("auto-tls"),
  });
}

export function buildPeerTls(settings: Settings): TlsConfig {
  const get = reader(settings);
  return checked({
    ...common(settings),
    certFile: get("peer-cert-file"),
    keyFile: get("peer-key-file"),
    clientCertFile: get("peer-client-cert-file"),
    clientKeyFile: get("peer-client-key-file"),
    trustedCaFile: get("peer-trusted-ca-file"),
    requiresClientCert: get("peer-client-cert-auth"),
    crlFile: get("peer-crl-file"),
    allowedCns: get("peer-cert-allowed-cn"),
    allowedHostnames: get("peer-cert-allowed-hostname"),
    checksClientAddress: !get<boolean>("peer-skip-client-san-verification"),
    isAuto: get("peer-auto-tls"),
  });
}

function common(
  settings: Settings,
): Pick<TlsConfig, "minVersion" | "maxVersion" | "cipherSuites" | "validityYears"> {
  const get = reader(settings);
  return {
    minVersion: get("tls-min-version"),
    maxVersion: get("tls-max-version"),
    cipherSuites: get("cipher-suites"),
    validityYears: get("self-signed-cert-validity"),
  };
}

function checked(tls: TlsConfig): TlsConfig {
  const { certFile, keyFile, clientCertFile, clientKeyFile, allowedCns, allowedHostnames } = tls;
  if ((certFile === "") !== (keyFile === "")) {
    throw new ConfigError(`KeyFile and CertFile must both be present[key: ${keyFile}, cert: ${certFile}]`);
  }
  if ((clientCertFile === "") !== (clientKeyFile === "")) {
    throw new ConfigError(
      "ClientKeyFile and ClientCertFile must both be present or both absent: " +
        `key: ${clientKeyFile}, cert: ${clientCertFile}]`,
    );
  }
  if (allowedCns.length > 0 && allowedHostnames.length > 0) {
    const list = (names: readonly string[]): string => names.map((name) => `"${name}"`).join(" ");
    throw new ConfigError(
      `AllowedCNs and AllowedHostnames are mutually exclusive (cns=[${list(allowedCns)}], hostnames=[${list(allowedHostnames)}])`,
    );
  }
  const { minVersion, maxVersion, cipherSuites, isAuto, validityYears } = tls;
  for (const version of [minVersion, maxVersion]) {
    if (!["", "TLS1.2", "TLS1.3"].includes(version)) {
      throw new ConfigError(`unexpected TLS version "${version}"`);
    }
  }
  if (minVersion === "TLS1.3" && maxVersion === "TLS1.2") {
    throw new ConfigError(`min version (${minVersion}) is greater than max version (${maxVersion})`);
  }
  if (minVersion === "TLS1.3" && cipherSuites.length > 0) {
    throw new ConfigError("cipher suites cannot be configured when only TLS1.3 is enabled");
  }
  if (isAuto && validityYears === 0) {
    throw new ConfigError("selfSignedCertValidity is invalid,it should be greater than 0");
  }
  return tls;
}
