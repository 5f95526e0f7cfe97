// What a request's header fields say of a gRPC call. Read once for equal heads: calls share it.

import { timeoutUnitMs } from "../api/call.ts";
import { ApiError } from "../api/errors.ts";
import type { RequestHead } from "./http2/request-head.ts";
import type { MethodMetrics } from "./metrics.ts";
import type { Route } from "./routes.ts";
import { unknownMethod } from "./status.ts";

/** A route and the counters of its method. */
export interface Target {
  readonly kind: "target";
  readonly route: Route;
  readonly metrics: MethodMetrics;
}

/** An answer without a call: the request is no proper one. */
export interface Refusal {
  readonly kind: "refusal";
  readonly httpStatus: number;
  readonly error: ApiError;
}

export interface GrpcHead {
  readonly kind: "grpc";
  /** Where the call goes, unless it is refused. */
  readonly target: Target | Refusal;
  /** The client's patience, from the arrival of the request on. */
  readonly timeoutMs: number | undefined;
  /** How messages are compressed that say so; "identity" when nothing was said. */
  readonly encoding: string;
  /** The answer's, which names the same encoding as the request's. */
  readonly contentType: string;
  /** What the answer begins with, names and values in turn; undefined for what almost every answer begins with. */
  readonly answerFields: readonly string[] | undefined;
  /** Lower-case names to their first text value. */
  readonly metadata: ReadonlyMap<string, string>;
}

/** Not gRPC: for the HTTP routes. */
export interface HttpHead {
  readonly kind: "http";
}

export type Head = GrpcHead | HttpHead;

const grpcType = "application/grpc";

export function readHead(request: RequestHead, targets: ReadonlyMap<string, Target>): Head {
  const metadata = new Map<string, string>();
  let malformedBinary: string | undefined;
  for (let i = 0; i < request.fields.length; i += 2) {
    const name = request.fields[i] as string;
    const value = request.fields[i + 1] as string;
    if (name.endsWith("-bin")) {
      if (isBase64(value)) continue;
      const [what, where] = [JSON.stringify(textOf(value)), JSON.stringify(name)];
      malformedBinary ??= `malformed binary metadata ${what} in header ${where}: illegal base64 data`;
    } else if (!metadata.has(name)) metadata.set(name, value);
  }
  const contentType = answerType(metadata.get("content-type") ?? "");
  if (contentType === undefined) return { kind: "http" };
  const encoding = metadata.get("grpc-encoding") ?? "identity";
  const timeout = readTimeout(metadata.get("grpc-timeout"));
  const target = refusalOf(request, { timeout, malformedBinary }) ?? targets.get(request.path);
  return {
    kind: "grpc",
    target: target ?? { kind: "refusal", httpStatus: 200, error: unknownMethod(textOf(request.path)) },
    timeoutMs: typeof timeout === "number" ? timeout : undefined,
    encoding,
    contentType,
    answerFields: answerFields(contentType, encoding),
    metadata,
  };
}

function refusalOf(
  request: RequestHead,
  {
    timeout,
    malformedBinary,
  }: { readonly timeout: number | string | undefined; readonly malformedBinary: string | undefined },
): Refusal | undefined {
  if (request.isTooLarge) {
    const error = new ApiError("ResourceExhausted", "grpc: received headers larger than max");
    return { kind: "refusal", httpStatus: 200, error };
  }
  if (request.method !== "POST") {
    const text = `Received a HEADERS frame with :method ${JSON.stringify(request.method)} which should be POST`;
    return { kind: "refusal", httpStatus: 405, error: new ApiError("Internal", text) };
  }
  const problem = typeof timeout === "string" ? timeout : malformedBinary;
  if (problem === undefined) return undefined;
  return { kind: "refusal", httpStatus: 400, error: new ApiError("Internal", problem) };
}

/** The content type of the answer as a Go server gives it; undefined where the request is not gRPC. */
function answerType(type: string): string | undefined {
  if (!type.startsWith(grpcType)) return undefined;
  const next = type[grpcType.length];
  if (next !== undefined && next !== "+" && next !== ";") return undefined;
  const subtype = type.slice(grpcType.length + 1);
  return subtype === "" ? grpcType : `${grpcType}+${subtype}`;
}

/** Clients that compress are answered so. */
function answerFields(contentType: string, encoding: string): readonly string[] | undefined {
  if (contentType === grpcType && encoding !== "gzip") return undefined;
  const compression = encoding === "gzip" ? ["grpc-encoding", "gzip"] : [];
  return [":status", "200", "content-type", contentType, ...compression];
}

/** Field values come as latin1; what is said of them is read as UTF-8. */
function textOf(value: string): string {
  return Buffer.from(value, "latin1").toString("utf8");
}

function isBase64(value: string): boolean {
  return /^[A-Za-z0-9+/]*={0,2}$/.test(value.replaceAll(",", "").replaceAll(" ", ""));
}

/** Milliseconds, or what is wrong with the field in a Go server's words. */
function readTimeout(text: string | undefined): number | string | undefined {
  if (text === undefined) return undefined;
  const quoted = JSON.stringify(textOf(text));
  if (text.length < 2) return `malformed grpc-timeout: transport: timeout string is too short: ${quoted}`;
  if (text.length > 9) return `malformed grpc-timeout: transport: timeout string is too long: ${quoted}`;
  const unit = timeoutUnitMs[text.slice(-1)];
  if (unit === undefined)
    return `malformed grpc-timeout: transport: timeout unit is not recognized: ${quoted}`;
  const digits = text.slice(0, -1);
  if (!/^\d+$/.test(digits)) {
    return `malformed grpc-timeout: strconv.ParseUint: parsing ${JSON.stringify(textOf(digits))}: invalid syntax`;
  }
  return Number(digits) * unit;
}
