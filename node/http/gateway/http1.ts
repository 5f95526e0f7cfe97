// The gateway behind fastify, for requests over HTTP/1.1.

import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { HttpRequest } from "../../lib/http-exchange.ts";
import type { Gateway } from "./gateway.ts";

/** Answered before fastify looks at routes, bodies and their types, which are nothing to the gateway. */
export function addGateway(app: FastifyInstance, gateway: Gateway): void {
  app.addHook("onRequest", async (request, reply) =>
    gateway.serves(request.raw.url as string) ? serve(gateway, request, reply) : undefined,
  );
}

async function serve(gateway: Gateway, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  const { status, fields, body } = await gateway.serve(requestOf(request, reply));
  for (let i = 0; i < fields.length; i += 2) reply.header(fields[i] as string, fields[i + 1] as string);
  // What is still to come of the request would be taken for the next one.
  if (!request.raw.complete) reply.header("connection", "close");
  return reply.status(status).send(body);
}

function requestOf({ raw, ip, host }: FastifyRequest, reply: FastifyReply): HttpRequest {
  const gone = new AbortController();
  reply.raw.once("close", () => gone.abort());
  const headers: Record<string, string> = Object.create(null);
  for (const [name, value] of Object.entries(raw.headers)) {
    if (value !== undefined) headers[name] = Array.isArray(value) ? value.join(", ") : value;
  }
  return {
    method: raw.method as string,
    path: raw.url as string,
    authority: host,
    headers,
    body: raw,
    remoteAddress: ip,
    signal: gone.signal,
  };
}
