// The API server as a port. The adapter is transport.ts; tests that need faults give their own.

export interface ApiRequest {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  /** Of the body; JSON without it. Patches say which kind they are. */
  readonly contentType?: string;
  readonly signal?: AbortSignal;
  /** The whole exchange; 30 s without it. */
  readonly timeoutMs?: number;
}

export interface WatchRequest {
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
  /** Any byte from the server, be it part of an event or not. */
  readonly onBytes: () => void;
  readonly onEvent: (event: WatchEvent) => void;
}

export interface WatchEvent {
  readonly type: string;
  readonly object: unknown;
}

export interface KubeClient {
  /** Resolves with the parsed answer; rejects with ApiError for an answer of 400 or more. */
  request(request: ApiRequest): Promise<unknown>;
  /** Resolves when the server ends the stream; rejects with ApiError, or the connection's error. */
  watch(request: WatchRequest): Promise<void>;
}

/** Under which the API server notes the fields that this operator sets. */
export const fieldManager = "etcdlike-operator";

export const patchTypes = {
  merge: "application/merge-patch+json",
  apply: "application/apply-patch+yaml",
} as const;

/** The API server refused. `reason` is Kubernetes' word, such as NotFound, AlreadyExists, Conflict, Expired. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly status: number;
  readonly reason: string;
  readonly retryAfterMs: number | undefined;

  constructor(given: {
    readonly status: number;
    readonly reason: string;
    readonly message: string;
    readonly retryAfterMs?: number | undefined;
  }) {
    super(`${given.message} (${given.status} ${given.reason})`);
    this.status = given.status;
    this.reason = given.reason;
    this.retryAfterMs = given.retryAfterMs;
  }
}

export function isStatus(error: unknown, ...statuses: readonly number[]): error is ApiError {
  return error instanceof ApiError && statuses.includes(error.status);
}

/** An ApiError from a Status object, which is what the API server answers and what watches carry as ERROR. */
export function apiErrorOf(body: unknown, status: number, retryAfterMs?: number): ApiError {
  const given = typeof body === "object" && body !== null ? (body as Record<string, unknown>) : {};
  return new ApiError({
    status: typeof given["code"] === "number" ? given["code"] : status,
    reason: typeof given["reason"] === "string" ? given["reason"] : "Unknown",
    message: typeof given["message"] === "string" ? given["message"] : `HTTP status ${status}`,
    retryAfterMs,
  });
}
