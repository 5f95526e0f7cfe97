// The adapter to a real API server: configuration and credentials from client-node, requests on node:https.
// client-node's own agents are not used: they are cached for good, so that a rotated certificate authority would
// need a new process.
import {
  Agent as HttpAgent,
  request as httpRequest,
  type IncomingMessage,
  type RequestOptions,
} from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { KubeConfig } from "@kubernetes/client-node";
import {
  type ApiRequest,
  apiErrorOf,
  type KubeClient,
  type WatchEvent,
  type WatchRequest,
} from "./client.ts";

export interface TransportOptions {
  readonly userAgent: string;
  /** Called for every answer, and with code 0 for none. */
  readonly onAnswer?: (method: string, code: number) => void;
}

const defaultTimeoutMs = 30_000;
/** Until a watch's first answer; afterwards its reader keeps watch over it. */
const watchAnswerTimeoutMs = 30_000;
// Objects are at most 1.5 MiB in etcd; managed fields and encoding add to that.
const lineBytesMax = 16 * 1024 * 1024;

/** The kubeconfig that KUBECONFIG names, else the user's own, else the service account of the Pod. */
export function defaultConfig(): KubeConfig {
  const config = new KubeConfig();
  config.loadFromDefault();
  return config;
}

export function createTransport(config: KubeConfig, options: TransportOptions): KubeClient {
  let agent: { readonly key: string; readonly agent: HttpAgent | HttpsAgent } | undefined;

  /** Credentials are read anew for every request; the connections are kept while they stay the same. */
  async function prepared(request: { method: string; path: string; query?: ApiRequest["query"] }) {
    const cluster = config.getCurrentCluster();
    if (cluster === null) throw new Error("the kubeconfig has no current cluster");
    const url = new URL(cluster.server.replace(/\/$/, "") + request.path);
    for (const [name, value] of Object.entries(request.query ?? {})) url.searchParams.set(name, value);
    const given: RequestOptions & Record<string, unknown> = { headers: {} };
    await config.applyToHTTPSOptions(given);
    const tls = Object.fromEntries(
      ["ca", "cert", "key", "pfx", "passphrase", "rejectUnauthorized", "servername"]
        .filter((name) => given[name] !== undefined)
        .map((name) => [name, given[name]]),
    );
    const key = JSON.stringify(tls, (_name, value) => (value instanceof Uint8Array ? String(value) : value));
    if (agent?.key !== key) {
      // Requests under way keep the old one until they end.
      const Agent = url.protocol === "https:" ? HttpsAgent : HttpAgent;
      agent = { key, agent: new Agent({ keepAlive: true, maxFreeSockets: 16, ...tls }) };
    }
    return {
      url,
      options: {
        method: request.method,
        agent: agent.agent,
        ...(given.auth === undefined ? {} : { auth: given.auth }),
        headers: { ...given.headers, accept: "application/json", "user-agent": options.userAgent },
      } as RequestOptions & { headers: Record<string, string> },
    };
  }

  async function open(
    request: Pick<ApiRequest, "method" | "path" | "query" | "body" | "contentType" | "signal">,
    timeoutMs: number,
  ): Promise<{ readonly response: IncomingMessage; readonly stopTimer: () => void }> {
    const { url, options: requestOptions } = await prepared(request);
    const send = url.protocol === "https:" ? httpsRequest : httpRequest;
    const body = request.body === undefined ? undefined : JSON.stringify(request.body);
    if (body !== undefined) {
      requestOptions.headers["content-type"] = request.contentType ?? "application/json";
      requestOptions.headers["content-length"] = String(Buffer.byteLength(body));
    }
    if (request.signal !== undefined) requestOptions.signal = request.signal;
    return new Promise((resolve, reject) => {
      const outgoing = send(url, requestOptions);
      const timer = setTimeout(() => {
        outgoing.destroy(new Error(`no complete answer within ${timeoutMs} ms`));
      }, timeoutMs);
      outgoing.on("response", (response) => {
        options.onAnswer?.(request.method, response.statusCode ?? 0);
        resolve({ response, stopTimer: () => clearTimeout(timer) });
      });
      outgoing.on("error", (cause) => {
        clearTimeout(timer);
        options.onAnswer?.(request.method, 0);
        reject(new Error(`${request.method} ${request.path} failed`, { cause }));
      });
      outgoing.on("close", () => clearTimeout(timer));
      outgoing.end(body);
    });
  }

  return {
    async request(request: ApiRequest): Promise<unknown> {
      const { response, stopTimer } = await open(request, request.timeoutMs ?? defaultTimeoutMs);
      const text = await textOf(response, `${request.method} ${request.path}`);
      stopTimer();
      return parsedAnswer(response, text);
    },

    async watch(request: WatchRequest): Promise<void> {
      const watched = { method: "GET" as const, path: request.path, signal: request.signal };
      const query = { ...request.query, watch: "true" };
      const { response, stopTimer } = await open({ ...watched, query }, watchAnswerTimeoutMs);
      if (response.statusCode !== 200) {
        const text = await textOf(response, `watch ${request.path}`);
        stopTimer();
        parsedAnswer(response, text);
        throw new Error(`watch ${request.path} answered ${response.statusCode}, expected 200`);
      }
      stopTimer();
      await eventsOf(response, request);
    },
  };
}

async function textOf(response: IncomingMessage, what: string): Promise<string> {
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of response) chunks.push(chunk as Buffer);
  } catch (cause) {
    throw new Error(`${what}: the connection ended within the answer`, { cause });
  }
  return Buffer.concat(chunks).toString("utf8");
}

function parsedAnswer(response: IncomingMessage, text: string): unknown {
  const status = response.statusCode ?? 0;
  let body: unknown = text;
  try {
    body = text === "" ? undefined : JSON.parse(text);
  } catch (cause) {
    if (status < 400) throw new Error("the API server's answer is not JSON", { cause });
  }
  if (status < 400) return body;
  const retryAfter = Number(response.headers["retry-after"]);
  throw apiErrorOf(body, status, Number.isFinite(retryAfter) ? retryAfter * 1000 : undefined);
}

/** Splits the stream into lines of JSON. An exception of `onEvent` ends the watch, and is not swallowed. */
async function eventsOf(response: IncomingMessage, request: WatchRequest): Promise<void> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of response) {
    request.onBytes();
    let pending = rest.length === 0 ? (chunk as Buffer) : Buffer.concat([rest, chunk as Buffer]);
    for (let end = pending.indexOf(10); end >= 0; end = pending.indexOf(10)) {
      const line = pending.subarray(0, end).toString("utf8");
      pending = pending.subarray(end + 1);
      if (line.trim() !== "") request.onEvent(JSON.parse(line) as WatchEvent);
    }
    if (pending.length > lineBytesMax) {
      throw new Error(`an event of ${request.path} is longer than ${lineBytesMax} bytes`);
    }
    rest = pending;
  }
}
