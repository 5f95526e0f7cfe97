import { ApiError, type ApiRequest, type KubeClient } from "../../kube/client.ts";
import type { KubeObject } from "../../kube/objects.ts";

/** The part of an API server that a Lease needs, with optimistic locking; answers can be withheld. */
export class LeaseApi implements KubeClient {
  lease: KubeObject | undefined;
  /** Requests fail while it is true. */
  isDown = false;
  #revision = 0;

  request(request: ApiRequest): Promise<unknown> {
    if (this.isDown) return Promise.reject(new Error("connection refused"));
    const body = request.body as KubeObject | undefined;
    if (request.method === "GET") {
      return this.lease ? Promise.resolve(this.lease) : Promise.reject(refusal(404, "NotFound"));
    }
    if (request.method === "POST" && this.lease !== undefined) {
      return Promise.reject(refusal(409, "AlreadyExists"));
    }
    if (request.method === "PUT" && body?.metadata.resourceVersion !== this.lease?.metadata.resourceVersion) {
      return Promise.reject(refusal(409, "Conflict"));
    }
    const resourceVersion = String(++this.#revision);
    this.lease = { ...body, metadata: { name: "operator", ...body?.metadata, resourceVersion } };
    return Promise.resolve(this.lease);
  }

  watch(): Promise<void> {
    return Promise.reject(new Error("not needed"));
  }
}

function refusal(status: number, reason: string): ApiError {
  return new ApiError({ status, reason, message: reason });
}
