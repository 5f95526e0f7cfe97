// What protobuf's JSON mapping needs to know of messages: descriptors compiled once into tables of names and kinds.

import { type DescField, type DescMessage, ScalarType } from "@bufbuild/protobuf";
import { assert, must } from "../lib/assert.ts";

export type JsonKind =
  | "int32"
  | "int64"
  | "uint32"
  | "uint64"
  | "bool"
  | "string"
  | "bytes"
  | "enum"
  | "message";

export interface JsonField {
  /** As in the .proto file, which is how answers spell it. */
  readonly name: string;
  /** In lower camel case, which requests may use as well. */
  readonly jsonName: string;
  readonly number: number;
  readonly kind: JsonKind;
  readonly isList: boolean;
  /** The full name of the oneof it belongs to. */
  readonly oneof: string | undefined;
  /** Names of an enum's values, and their numbers. */
  readonly enumNames: ReadonlyMap<number, string>;
  readonly enumNumbers: ReadonlyMap<string, number>;
  /** Of a message field. */
  readonly message: JsonMessage | undefined;
}

export interface JsonMessage {
  readonly typeName: string;
  readonly byNumber: ReadonlyMap<number, JsonField>;
  /** By either spelling. A map, so that `__proto__` is a name like any other. */
  readonly byName: ReadonlyMap<string, JsonField>;
}

const known = new Map<string, JsonMessage>();

/** The table of a message. Messages may contain themselves. */
export function jsonMessageOf(descriptor: DescMessage): JsonMessage {
  const before = known.get(descriptor.typeName);
  if (before !== undefined) return before;
  const byNumber = new Map<number, JsonField>();
  const byName = new Map<string, JsonField>();
  const message = { typeName: descriptor.typeName, byNumber, byName };
  known.set(descriptor.typeName, message);
  for (const one of descriptor.fields) {
    const field = jsonFieldOf(one);
    byNumber.set(field.number, field);
    byName.set(field.name, field);
    byName.set(field.jsonName, field);
  }
  return message;
}

function jsonFieldOf(field: DescField): JsonField {
  assert(field.fieldKind !== "map", "no message has map fields", { field: field.name });
  const values = field.enum?.values ?? [];
  return {
    name: field.name,
    jsonName: field.jsonName,
    number: field.number,
    kind: kindOf(field),
    isList: field.fieldKind === "list",
    oneof: field.oneof === undefined ? undefined : `${field.parent.typeName}.${field.oneof.name}`,
    enumNames: new Map(values.map(({ name, number }) => [number, name])),
    enumNumbers: new Map(values.map(({ name, number }) => [name, number])),
    message: field.message === undefined ? undefined : jsonMessageOf(field.message),
  };
}

const scalarKinds: ReadonlyMap<ScalarType, JsonKind> = new Map([
  [ScalarType.INT32, "int32"],
  [ScalarType.INT64, "int64"],
  [ScalarType.UINT32, "uint32"],
  [ScalarType.UINT64, "uint64"],
  [ScalarType.BOOL, "bool"],
  [ScalarType.STRING, "string"],
  [ScalarType.BYTES, "bytes"],
]);

function kindOf(field: DescField): JsonKind {
  if (field.message !== undefined) return "message";
  if (field.enum !== undefined) return "enum";
  const scalar = must(field.scalar, "a field without message and enum is a scalar", { field: field.name });
  return must(scalarKinds.get(scalar), "every scalar type in use is supported", { field: field.name });
}
