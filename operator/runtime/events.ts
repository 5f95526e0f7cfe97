// Kubernetes Events: what happened to an object, for `kubectl describe`. The same event again only raises its
// count. Events are told for information: a failure to write one is logged and never stops the work.
import { isStatus, type KubeClient, patchTypes } from "../kube/client.ts";
import { type KubeObject, kinds, type Resource, resourcePath } from "../kube/objects.ts";
import type { Clock } from "../lib/clock.ts";
import { describeError, type Logger } from "../lib/log.ts";
import { secondTime } from "../lib/time.ts";

export interface EventRecorderOptions {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
  readonly component: string;
  readonly instance: string;
}

export interface EventToTell {
  readonly type: "Normal" | "Warning";
  readonly reason: string;
  readonly message: string;
}

const seriesMax = 1_000;
/** The same event within this time is not written again. */
const quietMs = 30_000;
const messageLengthMax = 1_024;

interface Series {
  readonly name: string;
  count: number;
  writtenAtMs: number;
}

export class EventRecorder {
  readonly #options: EventRecorderOptions;
  readonly #series = new Map<string, Series>();
  #names = 0;

  constructor(options: EventRecorderOptions) {
    this.#options = options;
  }

  async tell(resource: Resource, about: KubeObject, event: EventToTell): Promise<void> {
    const { clock, log } = this.#options;
    const key = JSON.stringify([about.metadata.uid, event.reason, event.message]);
    const known = this.#series.get(key);
    if (known !== undefined) {
      known.count++;
      if (clock.nowMs() - known.writtenAtMs < quietMs) return;
    }
    try {
      const isCounted = known !== undefined && (await this.#count(about, known));
      if (!isCounted) this.#remember(key, await this.#create(resource, about, event));
    } catch (error) {
      log.warn("an event was not written", { reason: event.reason, error: describeError(error) });
    }
  }

  /** False when the event is gone: the API server keeps them for an hour. */
  async #count(about: KubeObject, series: Series): Promise<boolean> {
    const { client, clock } = this.#options;
    series.writtenAtMs = clock.nowMs();
    try {
      await client.request({
        method: "PATCH",
        path: resourcePath(kinds.event, { namespace: about.metadata.namespace, name: series.name }),
        body: { count: series.count, lastTimestamp: secondTime(clock.wallMs()) },
        contentType: patchTypes.merge,
      });
      return true;
    } catch (error) {
      if (isStatus(error, 404)) return false;
      throw error;
    }
  }

  async #create(resource: Resource, about: KubeObject, event: EventToTell): Promise<Series> {
    const { client, clock, component, instance } = this.#options;
    const { name, namespace, uid, resourceVersion } = about.metadata;
    const eventName = `${name}.${clock.wallMs().toString(16)}${(this.#names++ % 4096).toString(16)}`;
    const now = secondTime(clock.wallMs());
    await client.request({
      method: "POST",
      path: resourcePath(kinds.event, { namespace }),
      body: {
        apiVersion: "v1",
        kind: "Event",
        metadata: { name: eventName, namespace },
        involvedObject: {
          apiVersion: resource.apiVersion,
          kind: resource.kind,
          name,
          namespace,
          uid,
          resourceVersion,
        },
        type: event.type,
        reason: event.reason,
        message: event.message.slice(0, messageLengthMax),
        source: { component },
        reportingComponent: component,
        reportingInstance: instance,
        firstTimestamp: now,
        lastTimestamp: now,
        count: 1,
      },
    });
    return { name: eventName, count: 1, writtenAtMs: clock.nowMs() };
  }

  #remember(key: string, series: Series): void {
    this.#series.delete(key);
    this.#series.set(key, series);
    for (const oldest of this.#series.keys()) {
      if (this.#series.size <= seriesMax) break;
      this.#series.delete(oldest);
    }
  }
}
