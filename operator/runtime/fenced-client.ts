// The API server for everything that changes something: refuses once leadership is not certain any more.
import type { ApiRequest, KubeClient } from "../kube/client.ts";

/** Shorter than the time between the fence's no and another operator's first action. */
const changeTimeoutMs = 4_000;

export function fencedClient(client: KubeClient, fence: { readonly mayAct: boolean }): KubeClient {
  return {
    request(request: ApiRequest) {
      if (request.method === "GET") return client.request(request);
      if (!fence.mayAct) {
        return Promise.reject(
          new Error(`${request.method} ${request.path} held back: this operator does not lead`),
        );
      }
      return client.request({ ...request, timeoutMs: changeTimeoutMs });
    },
    watch: (request) => client.watch(request),
  };
}
