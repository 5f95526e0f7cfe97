// Making certificates, as a port. Purpose of the folder: X.509 and nothing of clusters. The adapter is issuer.ts;
// what certificates say is read by read.ts. Tested against Node's TLS (issuer.test.ts).

/** A certificate and its key, PEM. */
export interface Pair {
  readonly certPem: string;
  readonly keyPem: string;
}

export interface Validity {
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

export interface CertificateRequest extends Validity {
  readonly commonName: string;
  /** Names and addresses of a server; none for one that only connects. */
  readonly hosts: readonly string[];
}

export interface Pki {
  makeAuthority(commonName: string, validity: Validity): Promise<Pair>;
  /** For servers and clients both: a member is one and the other. Rejects for an authority that cannot be read. */
  issue(authority: Pair, request: CertificateRequest): Promise<Pair>;
}
