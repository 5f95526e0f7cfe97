// TLS as the flags describe it. Files are named, not read: they may change while the member runs.

import type { SecureVersion } from "node:tls";

export interface TlsSettings {
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
  readonly minVersion: SecureVersion;
  readonly maxVersion: SecureVersion | undefined;
  /** OpenSSL's names, joined; empty for the defaults. */
  readonly ciphers: string;
  /** The pair was made by this member for itself: those who connect with it are not verified. */
  readonly isSelfSigned: boolean;
}
