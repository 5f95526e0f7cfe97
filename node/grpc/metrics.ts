// What the gRPC side reports. The adapter gives one MethodMetrics to each method of the table.

import type { ErrorCode } from "../api/errors.ts";

/** Calls of one method. Hot: every call passes here. */
export interface MethodMetrics {
  started(): void;
  handled(code: ErrorCode, seconds: number): void;
  received(messageBytes: number): void;
  sent(messageBytes: number): void;
}

export interface GrpcMetrics {
  method(path: string): MethodMetrics;
  /** `version` is what the client says of itself. */
  clientRequest(type: "unary" | "stream", version: string): void;
}

const silentMethod: MethodMetrics = { started() {}, handled() {}, received() {}, sent() {} };

export const silentGrpcMetrics: GrpcMetrics = {
  method: () => silentMethod,
  clientRequest() {},
};
