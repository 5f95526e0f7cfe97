// A route binds a method of the table to its handler. The helpers below are where the types of both are held
// together; past them a route is bytes in, bytes out.

import type { BidiHandler, DirectHandler, ServerStreamHandler, UnaryHandler } from "../api/call.ts";
import { assert } from "../lib/assert.ts";
import type { Codec, Encoding, Pieces } from "../wire/codec.ts";
import type { Method } from "../wire/services.ts";

interface RouteBase {
  readonly path: string;
  readonly name: string;
  readonly service: string;
  /** Throws WireError. */
  readonly decode: (bytes: Uint8Array) => unknown;
  readonly encode: (response: unknown) => Uint8Array;
  readonly encoding: Encoding<unknown> | undefined;
  /** A large response in pieces, which stay as they are. Undefined for any other. */
  readonly encodePieces: (response: unknown) => Pieces | undefined;
}

export interface UnaryRoute extends RouteBase {
  readonly kind: "unary";
  readonly handler: UnaryHandler<unknown, unknown>;
}

/** A unary method whose handler answers without a promise. */
export interface DirectRoute extends RouteBase {
  readonly kind: "direct";
  readonly handler: DirectHandler<unknown, unknown>;
}

export interface ServerStreamRoute extends RouteBase {
  readonly kind: "serverStream";
  readonly handler: ServerStreamHandler<unknown, unknown>;
}

export interface BidiRoute extends RouteBase {
  readonly kind: "bidi";
  readonly handler: BidiHandler<unknown, unknown>;
}

export type Route = UnaryRoute | DirectRoute | ServerStreamRoute | BidiRoute;

/** A method whose request decodes to `Request` and whose response is encoded from `Response`. */
type MethodOf<Request, Response> = Method<Codec<Request, never>, Codec<unknown, Response>>;

export function unary<Request, Response>(
  method: MethodOf<Request, Response>,
  handler: UnaryHandler<Request, Response>,
): UnaryRoute {
  assert(method.kind === "unary", "the method is unary", { path: method.path });
  return { ...base(method), kind: "unary", handler: handler as UnaryHandler<unknown, unknown> };
}

export function direct<Request, Response>(
  method: MethodOf<Request, Response>,
  handler: DirectHandler<Request, Response>,
): DirectRoute {
  assert(method.kind === "unary", "the method is unary", { path: method.path });
  return { ...base(method), kind: "direct", handler: handler as DirectHandler<unknown, unknown> };
}

export function serverStream<Request, Response>(
  method: MethodOf<Request, Response>,
  handler: ServerStreamHandler<Request, Response>,
): ServerStreamRoute {
  assert(method.kind === "serverStream", "the method is a server stream", { path: method.path });
  return { ...base(method), kind: "serverStream", handler: handler as ServerStreamHandler<unknown, unknown> };
}

export function bidi<Request, Response>(
  method: MethodOf<Request, Response>,
  handler: BidiHandler<Request, Response>,
): BidiRoute {
  assert(method.kind === "bidi", "the method is bidirectional", { path: method.path });
  return { ...base(method), kind: "bidi", handler: handler as BidiHandler<unknown, unknown> };
}

function base<Request, Response>(method: MethodOf<Request, Response>): RouteBase {
  const { request, response } = method;
  return {
    path: method.path,
    name: method.name,
    service: method.service,
    decode: (bytes) => request.decode(bytes),
    encode: (message) => response.encode(message as Response),
    encoding: response.encoding as Encoding<unknown> | undefined,
    encodePieces: (message) => response.encodePieces?.(message as Response),
  };
}
