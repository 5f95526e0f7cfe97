// Texts of the command line, the environment and the configuration file to values, by the rules and with the
// error texts of Go's flag package, which etcd's users know.

import { isIP } from "node:net";

/** The texts `strconv.ParseBool` accepts. */
const booleanTexts = new Map<string, boolean>([
  ...["1", "t", "T", "TRUE", "true", "True"].map((text) => [text, true] as const),
  ...["0", "f", "F", "FALSE", "false", "False"].map((text) => [text, false] as const),
]);

export type Parsed<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly error: string };

export function parseBoolean(text: string): Parsed<boolean> {
  const value = booleanTexts.get(text);
  return value === undefined ? failed("parse error") : { ok: true, value };
}

export interface IntegerRange {
  readonly min: bigint;
  readonly max: bigint;
}

export const uint64: IntegerRange = { min: 0n, max: 0xffff_ffff_ffff_ffffn };
export const uint32: IntegerRange = { min: 0n, max: 0xffff_ffffn };
export const int64: IntegerRange = { min: -0x8000_0000_0000_0000n, max: 0x7fff_ffff_ffff_ffffn };

/** An integer with Go's prefixes. A value beyond 2^53 saturates: no limit of ours lies there. */
export function parseInteger(text: string, range: IntegerRange): Parsed<number> {
  const match = /^([+-]?)(0[xX][0-9a-fA-F_]+|0[bB][01_]+|0[oO]?[0-7_]*|[1-9][0-9_]*)$/.exec(text);
  if (match === null || (match[1] !== "" && range.min === 0n)) return failed("parse error");
  const digits = (match[2] as string).replaceAll("_", "").toLowerCase();
  const isOctal = /^0[0-7]+$/.test(digits);
  const magnitude = BigInt(isOctal ? `0o${digits.slice(1)}` : digits);
  const value = match[1] === "-" ? -magnitude : magnitude;
  if (value < range.min || value > range.max) return failed("value out of range");
  return { ok: true, value: saturate(value) };
}

function saturate(value: bigint): number {
  const bound = BigInt(Number.MAX_SAFE_INTEGER);
  if (value > bound) return Number.MAX_SAFE_INTEGER;
  return value < -bound ? -Number.MAX_SAFE_INTEGER : Number(value);
}

const unitMs = new Map([
  ["ns", 1e-6],
  ["us", 1e-3],
  ["µs", 1e-3],
  ["μs", 1e-3],
  ["ms", 1],
  ["s", 1000],
  ["m", 60_000],
  ["h", 3_600_000],
]);

/** A duration as Go writes it ("1m30s", "100ms", "0") in milliseconds. */
export function parseDurationMs(text: string): Parsed<number> {
  const match = /^([+-]?)((?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+|0)$/.exec(text);
  if (match === null) return failed("parse error");
  let totalMs = 0;
  for (const part of (match[2] as string).matchAll(/(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)/g)) {
    totalMs += Number(part[1]) * (unitMs.get(part[2] as string) as number);
  }
  return { ok: true, value: match[1] === "-" ? -totalMs : totalMs };
}

/** A duration in milliseconds as Go prints it. */
export function formatDuration(durationMs: number): string {
  if (durationMs === 0) return "0s";
  if (durationMs < 1000) return `${durationMs}ms`;
  const totalSeconds = durationMs / 1000;
  const hours = Math.floor(totalSeconds / 3600);
  const minutes = Math.floor((totalSeconds % 3600) / 60);
  const seconds = totalSeconds % 60;
  if (hours > 0) return `${hours}h${minutes}m${seconds}s`;
  return minutes > 0 ? `${minutes}m${seconds}s` : `${seconds}s`;
}

/** One endpoint. `text` is what the user wrote; it is what gets published and compared. */
export interface EndpointUrl {
  readonly text: string;
  readonly scheme: "http" | "https" | "unix" | "unixs";
  /** A name or an address without brackets; for a unix socket the path. */
  readonly host: string;
  /** Zero for a unix socket. */
  readonly port: number;
}

/** Comma-separated URLs, sorted by text as etcd sorts them. */
export function parseUrls(text: string): Parsed<readonly EndpointUrl[]> {
  if (text === "") return { ok: true, value: [] };
  const urls: EndpointUrl[] = [];
  for (const part of text.split(",")) {
    const parsed = parseUrl(part.trim());
    if (!parsed.ok) return parsed;
    if (!urls.some((url) => url.text === parsed.value.text)) urls.push(parsed.value);
  }
  urls.sort((a, b) => (a.text < b.text ? -1 : 1));
  return { ok: true, value: urls };
}

function parseUrl(text: string): Parsed<EndpointUrl> {
  const match = /^(http|https|unix|unixs):\/\/([^/?#]*)(.*)$/.exec(text);
  if (match === null) return failed(`URL scheme must be http, https, unix, or unixs: ${text}`);
  const scheme = match[1] as EndpointUrl["scheme"];
  const authority = match[2] as string;
  const rest = match[3] as string;
  if (scheme === "unix" || scheme === "unixs") {
    return { ok: true, value: { text, scheme, host: authority + rest, port: 0 } };
  }
  const hostPort = /^(?:\[([^\]]*)\]|([^:[\]]*)):([0-9]*)$/.exec(authority);
  if (hostPort === null) return failed(`URL address does not have the form "host:port": ${text}`);
  if (rest !== "") return failed(`URL must not contain a path: ${text}`);
  const port = Number(hostPort[3]);
  if (port > 65_535) return failed(`invalid port ${port} in ${text}`);
  return { ok: true, value: { text, scheme, host: hostPort[1] ?? (hostPort[2] as string), port } };
}

/** True for a host a socket can be bound to without asking a name server. */
export function isBindable(url: EndpointUrl): boolean {
  return url.scheme === "unix" || url.scheme === "unixs" || url.host === "localhost" || isIP(url.host) !== 0;
}

/** Unique, non-empty, comma-separated words. */
export function parseWords(text: string): readonly string[] {
  return [...new Set(text.split(",").filter((word) => word !== ""))];
}

function failed(error: string): { readonly ok: false; readonly error: string } {
  return { ok: false, error };
}
