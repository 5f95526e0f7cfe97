// What the small world knows of certificates: kubelets that bring Secrets into Pods, and changes of them a while
// later; members that hold each other against the files they have; a client that reads its own now and then.
import { must } from "../../lib/assert.ts";
import type { Endpoint } from "../../member/port.ts";
import type { SecretFact } from "../../model/certificates.ts";
import { type Secret, secretFactOf } from "../secrets.ts";
import type { MemoryApi, StoredObject } from "./memory-api.ts";
import { Violation } from "./violation.ts";

/** A kubelet's sync period and what it cached, at most. */
const projectionMs = 120_000;
/** How often the client reads its Secret: just often enough for the overlap that the runs use. */
const clientReadsMs = 590_000;

interface Projected {
  readonly fact: SecretFact;
  readonly version: string;
  /** When what is there now was first seen to differ. */
  differsSinceMs?: number;
}

export class Certificates {
  readonly #api: MemoryApi;
  /** By Pod's uid and plane. */
  readonly #files = new Map<string, Projected>();
  #client: Projected | undefined;
  #clientReadAtMs = 0;
  /** Until then nobody is held to trust anybody: something was done that breaks it for a while. */
  forgivenUntilMs = 0;

  constructor(api: MemoryApi) {
    this.#api = api;
  }

  /** False while a Secret is missing: the kubelet waits, and no container is made. */
  mount(pod: StoredObject, nowMs: number): boolean {
    return secretsOf(pod).every(({ plane, name }) =>
      this.#project(`${pod.metadata.uid} ${plane}`, name, nowMs),
    );
  }

  #project(key: string, name: string, nowMs: number): boolean {
    const secret = this.#api.get("secrets", name) as Secret | undefined;
    const before = this.#files.get(key);
    if (secret === undefined) return before !== undefined;
    const version = must(secret.metadata.resourceVersion, "a stored object has a version");
    if (before === undefined) {
      this.#files.set(key, { fact: secretFactOf(secret), version });
    } else if (before.version !== version) {
      before.differsSinceMs ??= nowMs;
      // Pods differ in when they are looked after.
      const lagMs = (key.length * 7_919 + key.charCodeAt(key.length - 6) * 104_729) % projectionMs;
      if (nowMs - before.differsSinceMs >= lagMs)
        this.#files.set(key, { fact: secretFactOf(secret), version });
    }
    return true;
  }

  /** Time has passed, and these Pods run: everybody who connects to somebody has to be believed. */
  tick(running: readonly StoredObject[], nowMs: number): void {
    for (const pod of running) this.mount(pod, nowMs);
    if (nowMs < this.forgivenUntilMs) return;
    const of = (plane: string) =>
      running.flatMap((pod) => {
        const files = this.#files.get(`${pod.metadata.uid} ${plane}`);
        return files === undefined ? [] : [{ name: `${pod.metadata.name} (${plane})`, fact: files.fact }];
      });
    const peers = of("peer");
    for (const one of peers) for (const other of peers) mustTrust(one, other, nowMs);
    const servers = of("client");
    if (servers.length === 0) return;
    const operator = this.#api.get("secrets", "c-operator-tls") as Secret | undefined;
    const client = this.#readByClient(nowMs);
    for (const server of servers) {
      for (const [name, fact] of [
        ["the operator", operator && secretFactOf(operator)],
        ["a client", client?.fact],
      ] as const) {
        if (fact === undefined) continue;
        mustTrust({ name, fact }, server, nowMs);
        mustTrust(server, { name, fact }, nowMs);
      }
    }
  }

  #readByClient(nowMs: number): Projected | undefined {
    const secret = this.#api.get("secrets", "c-client-tls") as Secret | undefined;
    if (
      secret !== undefined &&
      (this.#client === undefined || nowMs - this.#clientReadAtMs >= clientReadsMs)
    ) {
      this.#client = { fact: secretFactOf(secret), version: secret.metadata.resourceVersion ?? "" };
      this.#clientReadAtMs = nowMs;
    }
    return this.#client;
  }

  /** Whether a member understands how it is spoken to. */
  admits(pod: StoredObject, { tls }: Endpoint): boolean {
    const hasTls = secretsOf(pod).some(({ plane }) => plane === "client");
    if (!hasTls || tls === undefined) return hasTls === (tls !== undefined);
    return tls.serverName === `${pod.metadata.name}.c-peer.default.svc`;
  }

  /** Asked before a Pod is made. */
  checkPodCreation(pod: StoredObject): void {
    for (const { name } of secretsOf(pod)) {
      const secret = this.#api.get("secrets", name) as Secret | undefined;
      if (secret === undefined) throw new Violation(`${pod.metadata.name} is made before Secret ${name}`);
      const { problem } = secretFactOf(secret);
      if (problem !== undefined) throw new Violation(`${pod.metadata.name} is made with ${name}: ${problem}`);
    }
  }
}

interface Party {
  readonly name: string;
  readonly fact: SecretFact;
}

function mustTrust(one: Party, other: Party, nowMs: number): void {
  const { certificate, signer = "" } = other.fact;
  if (!one.fact.trusted.includes(signer)) throw new Violation(`${one.name} does not trust ${other.name}`);
  if (certificate !== undefined && certificate.notAfterMs < nowMs) {
    throw new Violation(`the certificate of ${other.name} has ended`);
  }
}

function secretsOf(pod: StoredObject): readonly { readonly plane: string; readonly name: string }[] {
  const { volumes } = pod["spec"] as {
    volumes: { name: string; secret?: { secretName: string } }[];
  };
  return volumes.flatMap(({ name, secret }) =>
    secret === undefined ? [] : [{ plane: name.replace(/-tls$/, ""), name: secret.secretName }],
  );
}
