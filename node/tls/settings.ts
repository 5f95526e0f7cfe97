// TLS as the flags describe it. Files are named, not read: they may change while the member runs.

import type { SecureVersion } from "node:tls";
import type { TlsConfig } from "../cli/tls-config.ts";

/** What is left of the flags once their names are OpenSSL's and a pair is there. */
export interface TlsSettings
  extends Omit<TlsConfig, "minVersion" | "maxVersion" | "cipherSuites" | "isAuto" | "validityYears"> {
  readonly minVersion: SecureVersion;
  readonly maxVersion: SecureVersion | undefined;
  /** OpenSSL's names, joined; empty for the defaults. */
  readonly ciphers: string;
  /** The pair was made by this member for itself: those who connect with it are not verified. */
  readonly isSelfSigned: boolean;
}
