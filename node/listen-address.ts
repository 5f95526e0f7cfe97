// From a listen URL to the address that Node binds, and from what it says to etcd's texts.

import type { EndpointUrl } from "./cli/values.ts";

/** A path makes a unix socket. */
export type ListenAddress = { readonly host: string; readonly port: number } | { readonly path: string };

export function addressOf(url: EndpointUrl): ListenAddress {
  return isUnix(url) ? { path: url.host } : { host: bindHost(url.host), port: url.port };
}

/** The error for an address that could not be bound. */
export function listenError(url: EndpointUrl, error: unknown): Error {
  const { code } = error as NodeJS.ErrnoException;
  const reason = code === "EADDRINUSE" ? "bind: address already in use" : String(error);
  const where = isUnix(url) ? `unix ${url.host}` : `tcp ${url.host}:${url.port}`;
  return new Error(`listen ${where}: ${reason}`, { cause: error });
}

export function hasTls({ scheme }: EndpointUrl): boolean {
  return scheme === "https" || scheme === "unixs";
}

function isUnix({ scheme }: EndpointUrl): boolean {
  return scheme === "unix" || scheme === "unixs";
}

/** Go binds "localhost" to its IPv4 address, whatever the resolver puts first. */
function bindHost(host: string): string {
  return host === "localhost" ? "127.0.0.1" : host;
}
