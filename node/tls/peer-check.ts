// What etcd asks of the certificate of the other side, beyond that its CA is trusted.

import { lookup, reverse } from "node:dns/promises";
import { isIP } from "node:net";
import { checkServerIdentity, type PeerCertificate, type TLSSocket } from "node:tls";
import { serialOf } from "./certificates.ts";
import type { Credentials } from "./credentials.ts";
import type { TlsSettings } from "./settings.ts";

/** Why the connection is refused; undefined when it may stand. */
export async function refusalOf(socket: TLSSocket, credentials: Credentials): Promise<string | undefined> {
  const { settings } = credentials;
  const certificate = socket.getPeerCertificate();
  if (certificate.raw === undefined) return undefined;
  const revoked = await credentials.revoked();
  if (revoked.has(serialOf(certificate.serialNumber))) {
    return `certificate with serial ${certificate.serialNumber} is revoked`;
  }
  const refusal = nameRefusal(certificate, settings);
  if (refusal !== undefined) return refusal;
  return settings.checksClientAddress ? addressRefusal(socket, certificate) : undefined;
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
async function addressRefusal(socket: TLSSocket, certificate: PeerCertificate): Promise<string | undefined> {
  const names = (certificate.subjectaltname ?? "").split(", ");
  const addresses = names.filter((name) => name.startsWith("IP Address:")).map((name) => name.slice(11));
  const hosts = names.filter((name) => name.startsWith("DNS:")).map((name) => name.slice(4));
  const remote = (socket.remoteAddress ?? "").replace(/^::ffff:/, "");
  if (addresses.length === 0 && hosts.length === 0) return undefined;
  if (isIP(remote) === 0 || addresses.includes(remote)) return undefined;
  for (const host of hosts) if (await isAddressOf(host, remote)) return undefined;
  return `tls: "${remote}" does not match any of the names of the certificate: ${names.join(", ")}`;
}

async function isAddressOf(host: string, remote: string): Promise<boolean> {
  try {
    if (host.startsWith("*.")) {
      const found = await reverse(remote);
      return found.some((name) => name.endsWith(host.slice(1)));
    }
    const found = await lookup(host, { all: true });
    return found.some(({ address }) => address === remote);
  } catch {
    // A name that nobody knows is nobody's address.
    return false;
  }
}
