// HTTP/1.1 on fastify: health, version and metrics, in the words of etcd's own server. It does not listen;
// connections are handed to it. Knows the member only through its status port.

import { type Server as HttpServer, METHODS } from "node:http";
import type { Socket } from "node:net";
import { type Duplex, Readable } from "node:stream";
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import type { HttpRequest, HttpResponse } from "../lib/http-exchange.ts";
import type { Logger } from "../lib/log.ts";
import { buildVersion, compatibleVersion } from "../lib/version.ts";
import type { Gateway } from "./gateway/gateway.ts";
import { addGateway } from "./gateway/http1.ts";
import { GatewaySockets } from "./gateway/websockets.ts";
import { type Guard, guardOf } from "./guard.ts";
import { answerChecks, answerHealth, type CheckType, checkNames, type TextResponse } from "./health.ts";
import type { HealthMetrics, HttpStatus } from "./status-port.ts";

/** Until the head of a request is there. */
const headMs = 10_000;
const textType = "text/plain; charset=utf-8";
/** Of the body of a request that takes none. */
const droppedBytesMax = 2 * 1024 * 1024;
/** Silence after which a client is asked whether it is still there. */
const keepAliveMs = 30_000;

export interface HttpServerOptions {
  /** "client" adds /version and what browsers need; "metrics" is for --listen-metrics-urls. */
  readonly kind: "client" | "metrics";
  readonly member: HttpStatus;
  readonly log: Logger;
  readonly metrics: HealthMetrics;
  readonly scrape: () => Promise<string>;
  readonly scrapeContentType: string;
  /** "*" allows every one. */
  readonly corsOrigins: readonly string[];
  readonly hostWhitelist: readonly string[];
  /** Undefined: no /v3 is served. */
  readonly gateway?: Gateway | undefined;
}

export interface MemberHttpServer {
  serve(socket: Socket): void;
  /** Answers a request of another transport as one over HTTP/1.1. */
  inject(request: HttpRequest): Promise<HttpResponse>;
  /** Closes every connection, after answers under way or after the grace. */
  stop(graceMs: number): Promise<void>;
}

export async function createHttpServer(options: HttpServerOptions): Promise<MemberHttpServer> {
  const guard = guardOf(options);
  const sockets = options.gateway && new GatewaySockets(options.gateway, guard);
  const app = fastify({
    logger: false,
    http: {
      headersTimeout: headMs,
      connectionsCheckingInterval: headMs / 10,
      // Any other request for another protocol is answered as if it had not asked.
      shouldUpgradeCallback: (request) => sockets?.wants(request) === true,
    },
    forceCloseConnections: "idle",
    clientErrorHandler: answerBadRequest,
    // A path that cannot be decoded, for one.
    frameworkErrors: (_error, _request, reply) => {
      send(reply as FastifyReply, { status: 400, body: "400 Bad Request" });
    },
  });
  app.addHook("onRequest", async (request, reply) => {
    const { refusal, fields } = guard(request.method, request.host, request.headers.origin);
    for (let i = 0; i < fields.length; i += 2) reply.header(fields[i] as string, fields[i + 1] as string);
    if (refusal === undefined) return undefined;
    return refusal.body === "" ? reply.status(refusal.status).send() : sendError(reply, refusal);
  });
  if (options.gateway !== undefined) addGateway(app, options.gateway);
  ignoreBodies(app);
  if (sockets !== undefined) {
    app.server.on("upgrade", (request, socket, head) => sockets.upgrade(request, socket, head));
  }
  addHealth(app, options);
  app.all("/metrics", async (_request, reply) =>
    reply.header("content-type", options.scrapeContentType).send(await options.scrape()),
  );
  if (options.kind === "client") {
    app.all("/version", (request, reply) => {
      if (refuseOtherMethods(request, reply)) return;
      sendVersion(reply, options.member);
    });
  }
  app.setNotFoundHandler((_request, reply) =>
    sendError(reply, { status: 404, body: "404 page not found\n" }),
  );
  await app.ready();
  // Node's server starts its time limits for headers and its list of connections when it listens, and this
  // one never does.
  app.server.emit("listening");
  return new FastifyServer(app, guard, options.gateway);
}

/** No route takes a body, so none is read: a connection on which one comes is closed with the answer. */
function ignoreBodies(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", (_request, _payload, done) => done(null));
  app.addHook("onRequest", async ({ headers }, reply) => {
    const hasBody = headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) > 0;
    if (hasBody) reply.header("connection", "close");
  });
}

/** What begins with no method of HTTP is another protocol, and would not understand an answer. */
function answerBadRequest(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (error.code === "HPE_INVALID_METHOD" || !socket.writable) socket.destroy();
  else socket.end("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
}

/** The answer to what Node's parser refuses over HTTP/1.1, and what would not be a request here. */
function problemOf({ method, path }: HttpRequest): HttpResponse | undefined {
  if (!knownMethods.has(method)) return textResponse(405, "Method Not Allowed\n");
  if (path.startsWith("/") || (path === "*" && method === "OPTIONS")) return undefined;
  return textResponse(400, "Bad Request\n");
}

/** Reads to the end of a request, and keeps nothing. False: there is no end in sight. */
async function isDropped(body: Readable): Promise<boolean> {
  let bytes = 0;
  try {
    for await (const chunk of body as AsyncIterable<Uint8Array>) {
      bytes += chunk.length;
      if (bytes > droppedBytesMax) return false;
    }
  } catch {
    // The client is gone, and hears no answer.
  }
  return true;
}

const knownMethods: ReadonlySet<string> = new Set(METHODS);

function textResponse(status: number, text: string): HttpResponse {
  const fields = text === "" ? [] : ["content-type", textType];
  return { status, fields, body: Readable.from(text === "" ? [] : [Buffer.from(text)]) };
}

const idleSweepMs = 20;

class FastifyServer implements MemberHttpServer {
  readonly #app: FastifyInstance;
  readonly #server: HttpServer;
  readonly #guard: Guard;
  readonly #gateway: Gateway | undefined;
  readonly #sockets = new Set<Socket>();

  constructor(app: FastifyInstance, guard: Guard, gateway: Gateway | undefined) {
    this.#app = app;
    this.#server = app.server;
    this.#guard = guard;
    this.#gateway = gateway;
  }

  serve(socket: Socket): void {
    this.#sockets.add(socket);
    // A stream that says nothing for long would not notice that its client vanished.
    socket.setKeepAlive(true, keepAliveMs);
    socket.once("close", () => this.#sockets.delete(socket));
    this.#server.emit("connection", socket);
  }

  async inject(request: HttpRequest): Promise<HttpResponse> {
    const problem = problemOf(request);
    if (problem !== undefined) return problem;
    if (this.#gateway?.serves(request.path) === true) return this.#injectGateway(request, this.#gateway);
    if (!(await isDropped(request.body))) return textResponse(413, "request body too large\n");
    const response = await this.#app.inject({
      method: request.method as "GET",
      // Behind a whole address nothing of a path is taken for a host.
      url: `http://localhost${request.path === "*" ? "/" : request.path}`,
      headers: { ...request.headers, host: request.authority },
      remoteAddress: request.remoteAddress,
      payloadAsStream: true,
    });
    const fields: string[] = [];
    for (const [name, value] of Object.entries(response.headers)) {
      if (value === undefined) continue;
      for (const one of Array.isArray(value) ? value : [value]) fields.push(name.toLowerCase(), String(one));
    }
    return { status: response.statusCode, fields, body: response.stream() };
  }

  async #injectGateway(request: HttpRequest, gateway: Gateway): Promise<HttpResponse> {
    const { refusal, fields } = this.#guard(request.method, request.authority, request.headers["origin"]);
    const response =
      refusal === undefined ? await gateway.serve(request) : textResponse(refusal.status, refusal.body);
    const body = request.method === "HEAD" ? Readable.from([]) : response.body;
    return { status: response.status, fields: [...fields, ...response.fields], body };
  }

  async stop(graceMs: number): Promise<void> {
    this.#server.closeIdleConnections();
    // A connection that was busy becomes idle with its answer, and nobody else looks at it then.
    const sweep = setInterval(() => this.#server.closeIdleConnections(), idleSweepMs);
    const force = setTimeout(() => this.#destroyAll(), graceMs);
    await Promise.all(
      [...this.#sockets].map((socket) => new Promise<void>((resolve) => socket.once("close", resolve))),
    );
    clearInterval(sweep);
    clearTimeout(force);
    await this.#app.close();
  }

  #destroyAll(): void {
    for (const socket of this.#sockets) socket.destroy();
  }
}

function addHealth(app: FastifyInstance, { member, log, metrics }: HttpServerOptions): void {
  const sinks = { log, metrics };
  app.all("/health", async (request, reply) => {
    if (refuseOtherMethods(request, reply)) {
      log.warn("/health error", { "status-code": 405 });
      return reply;
    }
    return send(reply, await answerHealth(member, queryOf(request), sinks));
  });
  for (const type of ["livez", "readyz"] as const satisfies readonly CheckType[]) {
    for (const only of [undefined, ...checkNames(type)]) {
      const path = only === undefined ? `/${type}` : `/${type}/${only}`;
      app.all(path, async (request, reply) => {
        if (refuseOtherMethods(request, reply)) {
          log.warn("Health request error", { path, "status-code": 405 });
          return reply;
        }
        return sendError(reply, await answerChecks(type, only, member, queryOf(request), sinks));
      });
    }
  }
}

function sendVersion(reply: FastifyReply, member: HttpStatus): void {
  const versions = {
    etcdserver: compatibleVersion,
    etcdcluster: member.clusterVersion() ?? "not_decided",
    storage: member.storageVersion(),
    etcdlike: buildVersion,
  };
  // As bytes, because fastify adds a charset to the content type of a JSON text.
  reply.header("content-type", "application/json").send(Buffer.from(JSON.stringify(versions)));
}

/** Answers anything but GET; true when it did. */
function refuseOtherMethods(request: FastifyRequest, reply: FastifyReply): boolean {
  if (request.method === "GET") return false;
  reply.header("allow", "GET");
  sendError(reply, { status: 405, body: "Method Not Allowed\n" });
  return true;
}

function send(reply: FastifyReply, { status, body }: TextResponse): FastifyReply {
  return reply.status(status).header("content-type", textType).send(body);
}

/** The form of Go's `http.Error`. */
function sendError(reply: FastifyReply, response: TextResponse): FastifyReply {
  reply.header("x-content-type-options", "nosniff");
  return send(reply, response);
}

function queryOf(request: FastifyRequest): URLSearchParams {
  const at = request.url.indexOf("?");
  return new URLSearchParams(at < 0 ? "" : request.url.slice(at + 1));
}
