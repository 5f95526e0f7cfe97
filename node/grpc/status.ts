// From our errors to gRPC statuses: the one place that knows their numbers.

import { ApiError, type ErrorCode, errorCodes } from "../api/errors.ts";
import { methods } from "../wire/services.ts";

export interface GrpcStatus {
  readonly code: number;
  readonly details: string;
}

const numbers = new Map(errorCodes.map((code, number) => [code, number]));

export function statusNumber(code: ErrorCode): number {
  return numbers.get(code) as number;
}

export function statusOf(error: ApiError): GrpcStatus {
  return { code: statusNumber(error.code), details: error.message };
}

const knownServices = new Set(methods.map((method) => method.service));

/** What a Go server says about a path that nothing serves; clients probe with it. */
export function unknownMethod(path: string): ApiError {
  const slash = path.lastIndexOf("/");
  const service = path.slice(path.startsWith("/") ? 1 : 0, Math.max(slash, 0));
  if (slash < 1) return new ApiError("Unimplemented", `malformed method name: ${JSON.stringify(path)}`);
  return new ApiError(
    "Unimplemented",
    knownServices.has(service)
      ? `unknown method ${path.slice(slash + 1)} for service ${service}`
      : `unknown service ${service}`,
  );
}

/** What a Go server says about a message above its limit. */
export function messageTooLarge(messageBytes: number, limitBytes: number): ApiError {
  return new ApiError(
    "ResourceExhausted",
    `grpc: received message larger than max (${messageBytes} vs. ${limitBytes})`,
  );
}

export function malformedMessage(error: unknown): ApiError {
  const text = error instanceof Error ? error.message : String(error);
  return new ApiError("Internal", `grpc: error unmarshalling request: ${text}`);
}
