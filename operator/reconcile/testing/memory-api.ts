// The part of an API server that the operator's passes use, in memory: optimistic locking, merge patches,
// finalizers, owner references, uid preconditions. The real one is in test/k8s; this one can be stopped anywhere.
import { ApiError, type ApiRequest, type KubeClient } from "../../kube/client.ts";
import type { KubeObject } from "../../kube/objects.ts";
import { must } from "../../lib/assert.ts";

export type StoredObject = KubeObject & {
  readonly kind: string;
  readonly metadata: KubeObject["metadata"] & { readonly namespace: string; readonly uid: string };
  readonly [key: string]: unknown;
};

interface Place {
  readonly plural: string;
  readonly namespace: string;
  readonly name: string | undefined;
  readonly subresource: string | undefined;
}

export class MemoryApi implements KubeClient {
  readonly objects = new Map<string, StoredObject>();
  /** Called before anything is changed; may throw. */
  beforeChange: (request: ApiRequest) => void = () => {};
  wallMs: () => number = () => 0;
  #revision = 0;
  #uids = 0;

  all(plural: string): StoredObject[] {
    return [...this.objects].filter(([key]) => key.startsWith(`${plural}/`)).map(([, object]) => object);
  }

  get(plural: string, name: string): StoredObject | undefined {
    return this.objects.get(`${plural}/${name}`);
  }

  /** As a kubelet or a user would: no optimistic locking. */
  edit(plural: string, name: string, change: object): void {
    const object = this.get(plural, name);
    if (object !== undefined) this.#store(plural, merged(object, change) as StoredObject);
  }

  /** Removes it at once, whatever finalizers say, and what it owns. */
  erase(plural: string, name: string): void {
    const object = this.get(plural, name);
    if (object === undefined) return;
    this.objects.delete(`${plural}/${name}`);
    for (const [key, dependent] of [...this.objects]) {
      const owners = dependent.metadata.ownerReferences ?? [];
      if (owners.some((owner) => owner.uid === object.metadata.uid)) {
        const [kind = "", dependentName = ""] = key.split("/");
        this.#delete(kind, dependentName);
      }
    }
  }

  async request(request: ApiRequest): Promise<unknown> {
    const at = placeOf(request.path);
    if (request.method === "GET") return structuredClone(this.#read(at, request.query ?? {}));
    this.beforeChange(request);
    return structuredClone(this.#change(request, at));
  }

  watch(): Promise<void> {
    return Promise.reject(new Error("passes do not watch"));
  }

  #read(at: Place, query: Readonly<Record<string, string>>): unknown {
    if (at.name !== undefined) return this.#must(at);
    const [label, value] = (query["labelSelector"] ?? "").split("=");
    const items = this.all(at.plural).filter(
      (object) => label === undefined || label === "" || object.metadata.labels?.[label] === value,
    );
    return { metadata: { resourceVersion: String(this.#revision) }, items };
  }

  #change(request: ApiRequest, at: Place): unknown {
    const body = request.body as StoredObject;
    switch (request.method) {
      case "POST":
        if (this.get(at.plural, body.metadata.name) !== undefined) throw refusal(409, "AlreadyExists");
        return this.#create(at, body);
      case "PUT": {
        const now = this.#must(at);
        if (body.metadata.resourceVersion !== now.metadata.resourceVersion) throw refusal(409, "Conflict");
        return this.#store(at.plural, { ...now, status: body["status"] });
      }
      case "PATCH": {
        const isApply = request.contentType?.startsWith("application/apply") === true;
        const name = must(at.name, "a patch has a target");
        if (isApply && this.get(at.plural, name) === undefined) return this.#create(at, body);
        const before = this.#must(at);
        const wanted = body.metadata?.resourceVersion;
        if (wanted !== undefined && wanted !== before.metadata.resourceVersion)
          throw refusal(409, "Conflict");
        const patched = merged(before, body) as StoredObject;
        const isReleased = patched.metadata.deletionTimestamp !== undefined && hasNoFinalizer(patched);
        if (isReleased && at.plural !== "pods") {
          this.erase(at.plural, name);
          return patched;
        }
        return this.#store(at.plural, patched);
      }
      case "DELETE": {
        const now = this.#must(at);
        const uid = (body as { preconditions?: { uid?: string } } | undefined)?.preconditions?.uid;
        if (uid !== undefined && uid !== now.metadata.uid) throw refusal(409, "Conflict");
        this.#delete(at.plural, now.metadata.name);
        return {};
      }
      default:
        throw new Error(`${request.method} is not there`);
    }
  }

  #create(at: Place, body: StoredObject): StoredObject {
    const metadata = {
      ...body.metadata,
      namespace: at.namespace,
      uid: `uid-${++this.#uids}`,
      generation: 1,
      creationTimestamp: new Date(this.wallMs()).toISOString(),
    };
    return this.#store(at.plural, { ...body, metadata });
  }

  #store(plural: string, object: StoredObject): StoredObject {
    const stored = {
      ...object,
      metadata: { ...object.metadata, resourceVersion: String(++this.#revision) },
    } as StoredObject;
    this.objects.set(`${plural}/${object.metadata.name}`, stored);
    return stored;
  }

  /** Pods wait for their kubelet, volumes for the Pods that use them, others for their finalizers. */
  #delete(plural: string, name: string): void {
    const object = must(this.get(plural, name), "what is deleted is there");
    const waits = plural === "pods" || plural === "persistentvolumeclaims" || !hasNoFinalizer(object);
    if (!waits) {
      this.erase(plural, name);
      return;
    }
    if (object.metadata.deletionTimestamp !== undefined) return;
    const deletionTimestamp = new Date(this.wallMs()).toISOString();
    this.#store(plural, { ...object, metadata: { ...object.metadata, deletionTimestamp } });
  }

  #must(at: Place): StoredObject {
    const object = at.name === undefined ? undefined : this.get(at.plural, at.name);
    if (object === undefined) throw refusal(404, "NotFound");
    return object;
  }
}

function hasNoFinalizer(object: KubeObject): boolean {
  return (object.metadata.finalizers ?? []).length === 0;
}

function placeOf(path: string): Place {
  const found =
    /^\/(?:api|apis\/[^/]+)\/[^/]+\/namespaces\/([^/]+)\/([^/]+)(?:\/([^/]+))?(?:\/([^/]+))?$/.exec(path);
  const [, namespace, plural, name, subresource] = must(
    found ?? undefined,
    "the path is one of a namespace",
    { path },
  );
  return { namespace: namespace ?? "", plural: plural ?? "", name, subresource };
}

/** JSON merge patch, RFC 7396. */
function merged(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch;
  const result: Record<string, unknown> = isObject(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else result[key] = merged(result[key], value);
  }
  return result;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function refusal(status: number, reason: string): ApiError {
  return new ApiError({ status, reason, message: reason });
}
