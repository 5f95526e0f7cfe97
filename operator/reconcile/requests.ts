// Changes of objects, so that doing one again, or too late, changes nothing more.
import { annotations } from "../api/group.ts";
import { fieldManager, isStatus, type KubeClient, patchTypes } from "../kube/client.ts";
import { type Resource, resourcePath } from "../kube/objects.ts";

/** `NotYet`: the members refuse for now. `Unhealthy`: they take no new member while one is away. */
export type Outcome =
  | { readonly kind: "Done" }
  | { readonly kind: "NotYet" | "Unhealthy"; readonly message: string };

export const done: Outcome = { kind: "Done" };

export async function create(
  client: KubeClient,
  resource: Resource,
  namespace: string,
  body: unknown,
): Promise<Outcome> {
  try {
    await client.request({
      method: "POST",
      path: resourcePath(resource, { namespace }),
      query: { fieldManager },
      body,
    });
  } catch (error) {
    // Names are never given out twice, so what is there is what was to be made.
    if (!(isStatus(error, 409) && error.reason === "AlreadyExists")) throw error;
  }
  return done;
}

export async function patch(client: KubeClient, path: string, body: unknown): Promise<Outcome> {
  await client.request({
    method: "PATCH",
    path,
    query: { fieldManager },
    contentType: patchTypes.merge,
    body,
  });
  return done;
}

export async function remove(client: KubeClient, path: string, uid?: string): Promise<Outcome> {
  await client.request({
    method: "DELETE",
    path,
    body: {
      apiVersion: "v1",
      kind: "DeleteOptions",
      propagationPolicy: "Background",
      ...(uid === undefined ? {} : { preconditions: { uid } }),
    },
  });
  return done;
}

/** What is gone, or has another uid under its name, needs no deletion. */
export async function ifThere(attempt: Promise<Outcome>): Promise<Outcome> {
  try {
    return await attempt;
  } catch (error) {
    if (isStatus(error, 404, 409)) return done;
    throw error;
  }
}

/** A refusal is kept with the claim: asked for at every pass, it would hold up everything else. */
export async function resize(
  client: KubeClient,
  path: string,
  size: string | number,
  nowMs: number,
): Promise<Outcome> {
  const noted = (note: string | null) => ({ annotations: { [annotations.resizeRefusal]: note } });
  try {
    const spec = { resources: { requests: { storage: size } } };
    return await patch(client, path, { spec, metadata: noted(null) });
  } catch (error) {
    if (!isStatus(error, 403, 422)) throw error;
    const message = error.message.slice(0, 1_024);
    return patch(client, path, {
      metadata: noted(JSON.stringify({ size: String(size), atMs: nowMs, message })),
    });
  }
}
