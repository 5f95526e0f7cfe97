// Structural OpenAPI schemas as typed values: one expression gives both the schema of a custom resource and the
// TypeScript type of what the API server hands back after defaulting, so the two cannot drift apart.

/** A rule in CEL, evaluated by the API server. `message` is what the user reads. */
export interface Rule {
  readonly rule: string;
  readonly message: string;
  readonly fieldPath?: string;
}

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** Carries the type; exists only for the compiler. */
declare const carried: unique symbol;

export interface Schema<T> {
  readonly json: { readonly [key: string]: Json };
  readonly [carried]?: T;
}

/** A field that may be absent even after defaulting. */
export interface OptionalField<T> {
  readonly optional: Schema<T>;
}

type Field = Schema<unknown> | OptionalField<unknown>;
type Fields = Readonly<Record<string, Field>>;
type OptionalKeys<F extends Fields> = {
  [K in keyof F]: F[K] extends OptionalField<unknown> ? K : never;
}[keyof F];
type Flat<T> = { [K in keyof T]: T[K] };

export type Infer<S> = S extends Schema<infer T> ? T : S extends OptionalField<infer T> ? T : never;
export type InferFields<F extends Fields> = Flat<
  { readonly [K in Exclude<keyof F, OptionalKeys<F>>]: Infer<F[K]> } & {
    readonly [K in OptionalKeys<F>]?: Infer<F[K]>;
  }
>;

interface Common<T> {
  readonly description: string;
  readonly default?: T;
  readonly rules?: readonly Rule[];
}

function common(options: Common<unknown>): { [key: string]: Json } {
  return {
    description: options.description,
    ...(options.default === undefined ? {} : { default: options.default as Json }),
    ...(options.rules === undefined
      ? {}
      : { "x-kubernetes-validations": options.rules.map((rule) => ({ ...rule })) }),
  };
}

export function optional<T>(schema: Schema<T>): OptionalField<T> {
  return { optional: schema };
}

export function string(
  options: Common<string> & {
    readonly pattern?: string;
    readonly minLength?: number;
    readonly maxLength: number;
  },
): Schema<string> {
  const { pattern, minLength, maxLength } = options;
  return {
    json: {
      type: "string",
      ...common(options),
      maxLength,
      ...(minLength === undefined ? {} : { minLength }),
      ...(pattern === undefined ? {} : { pattern }),
    },
  };
}

/** A moment as the API server writes it, RFC 3339. */
export function dateTime(description: string): Schema<string> {
  return { json: { type: "string", format: "date-time", description } };
}

export function oneOf<const V extends readonly string[]>(
  values: V,
  options: Common<V[number]>,
): Schema<V[number]> {
  return { json: { type: "string", enum: values, ...common(options) } };
}

export function integer(
  options: Common<number> & {
    readonly minimum: number;
    readonly maximum?: number;
    readonly format?: "int64";
  },
): Schema<number> {
  const { minimum, maximum, format } = options;
  return {
    json: {
      type: "integer",
      format: format ?? "int32",
      ...common(options),
      minimum,
      ...(maximum === undefined ? {} : { maximum }),
    },
  };
}

export function boolean(options: Common<boolean>): Schema<boolean> {
  return { json: { type: "boolean", ...common(options) } };
}

/** A resource quantity such as 8Gi: Kubernetes takes a number or a string. */
export function quantity(options: Common<string>): Schema<string | number> {
  return {
    json: {
      "x-kubernetes-int-or-string": true,
      anyOf: [{ type: "integer" }, { type: "string" }],
      pattern: "^(\\+|-)?(([0-9]+(\\.[0-9]*)?)|(\\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\\+|-)?[0-9]+))?$",
      maxLength: 32,
      ...common(options),
    },
  };
}

export function object<F extends Fields>(
  fields: F,
  options: Common<Readonly<Record<string, Json>>>,
): Schema<InferFields<F>> {
  const properties: { [key: string]: Json } = {};
  const required: string[] = [];
  for (const [name, field] of Object.entries(fields)) {
    const isOptional = "optional" in field;
    const { json } = isOptional ? field.optional : field;
    properties[name] = json;
    if (!isOptional && json["default"] === undefined) required.push(name);
  }
  return {
    json: {
      type: "object",
      ...common(options),
      properties,
      ...(required.length > 0 ? { required } : {}),
    },
  };
}

export function map<T>(
  value: Schema<T>,
  options: Common<Readonly<Record<string, T>>> & { readonly maxProperties: number },
): Schema<Readonly<Record<string, T>>> {
  return {
    json: {
      type: "object",
      ...common(options),
      maxProperties: options.maxProperties,
      additionalProperties: value.json,
    },
  };
}

export function list<T>(
  item: Schema<T>,
  options: Common<readonly T[]> & { readonly maxItems: number; readonly keys?: readonly string[] },
): Schema<readonly T[]> {
  return {
    json: {
      type: "array",
      ...common(options),
      maxItems: options.maxItems,
      ...(options.keys === undefined
        ? { "x-kubernetes-list-type": "atomic" }
        : { "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": options.keys }),
      items: item.json,
    },
  };
}

/** An object of Kubernetes itself that is passed on as it is; the API server checks it where it is used. */
export function passedOn(description: string): Schema<{ readonly [key: string]: Json }> {
  return { json: { type: "object", description, "x-kubernetes-preserve-unknown-fields": true } };
}
