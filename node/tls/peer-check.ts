// What etcd asks of the certificate of the other side, beyond that its CA is trusted.

import { isIP } from "node:net";
import {
  checkServerIdentity,
  type DetailedPeerCertificate,
  type PeerCertificate,
  type TLSSocket,
} from "node:tls";
import { serialOf } from "./certificates.ts";
import type { Credentials } from "./credentials.ts";
import type { HostNames } from "./host-names.ts";
import type { TlsSettings } from "./settings.ts";

/** As OpenSSL's own bound. */
const chainLengthMax = 100;

/** Why the connection is refused; undefined when it may stand. */
export async function refusalOf(
  socket: TLSSocket,
  credentials: Credentials,
  hostNames: HostNames,
): Promise<string | undefined> {
  const { settings } = credentials;
  const certificate = socket.getPeerCertificate(true);
  if (certificate.raw === undefined) return undefined;
  const refusal = (await revocation(certificate, credentials)) ?? nameRefusal(certificate, settings);
  if (refusal !== undefined) return refusal;
  return settings.checksClientAddress ? addressRefusal(socket, certificate, hostNames) : undefined;
}

/** Of either end: etcd holds those it connects to against the same lists, with the same text. */
export function nameRefusal(
  certificate: PeerCertificate,
  { allowedCns, allowedHostnames }: Pick<TlsSettings, "allowedCns" | "allowedHostnames">,
): string | undefined {
  const isNamed = (host: string): boolean => checkServerIdentity(host, certificate) === undefined;
  const isRefused =
    (allowedCns.length > 0 && !allowedCns.includes(String(certificate.subject.CN ?? ""))) ||
    (allowedHostnames.length > 0 && !allowedHostnames.some(isNamed));
  return isRefused ? "client certificate authentication failed" : undefined;
}

/** A certificate without names is for any address; one with names is for those only. */
async function addressRefusal(
  socket: TLSSocket,
  certificate: PeerCertificate,
  hostNames: HostNames,
): Promise<string | undefined> {
  const names = (certificate.subjectaltname ?? "").split(", ");
  const addresses = names.filter((name) => name.startsWith("IP Address:")).map((name) => name.slice(11));
  const hosts = names.filter((name) => name.startsWith("DNS:")).map((name) => name.slice(4));
  const remote = (socket.remoteAddress ?? "").replace(/^::ffff:/, "");
  if (addresses.length === 0 && hosts.length === 0) return undefined;
  if (isIP(remote) === 0 || addresses.includes(remote)) return undefined;
  const found = await hostNames.find(hosts, remote);
  if (found === "yes") return undefined;
  const late = found === "late" ? " (its names were not looked up in time)" : "";
  return `tls: "${remote}" does not match any of the names of the certificate: ${names.join(", ")}${late}`;
}

/**
 * etcd asks neither who revoked nor who issued: serial numbers are all that counts, of the certificate and of the
 * authorities that came with it. Node shows only authorities that are in the file of trusted ones, so one that is not
 * could be revoked unseen, and is refused.
 */
async function revocation(
  certificate: DetailedPeerCertificate,
  credentials: Credentials,
): Promise<string | undefined> {
  const { crlFile, trustedCaFile } = credentials.settings;
  if (crlFile === "") return undefined;
  const revoked = await credentials.revoked();
  if (!revoked.ok) return `the list of revoked certificates ${crlFile} cannot be read`;
  let current = certificate;
  for (let length = 0; length < chainLengthMax; length++) {
    if (revoked.serials.has(serialOf(current.serialNumber)))
      return `certificate with serial ${current.serialNumber} is revoked`;
    const issuer: DetailedPeerCertificate | undefined = current.issuerCertificate;
    if (issuer === undefined)
      return `the authority "${String(current.issuer.CN)}" is not in ${trustedCaFile}: whether it is revoked cannot be told`;
    // An authority of its own is trusted by being in the file, and nobody sends it.
    if (issuer.issuerCertificate === issuer) return undefined;
    current = issuer;
  }
  return `more than ${chainLengthMax} authorities`;
}
