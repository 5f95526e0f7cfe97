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
  if (slash < 1 || !path.startsWith("/"))
    return new ApiError("Unimplemented", `malformed method name: ${JSON.stringify(path)}`);
  const service = path.slice(1, slash);
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

/** A Go server has words of its own for streams. */
export function malformedMessage(isInStream: boolean, error: unknown): ApiError {
  const what = isInStream ? "failed to unmarshal the received message" : "error unmarshalling request";
  return new ApiError("Internal", `grpc: ${what}: ${error instanceof Error ? error.message : String(error)}`);
}
