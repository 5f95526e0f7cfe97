// Random messages for tests: drawn from a descriptor as protobuf-es values, and translated by a second,
// independent reading of the rules into the plain value our codecs must produce.

import type { DescField, DescMessage, DescOneof } from "@bufbuild/protobuf";
import { create, ScalarType } from "@bufbuild/protobuf";
import type { Random } from "../lib/random.ts";
import { idFields } from "./plain.ts";

type Fields = Record<string, unknown>;

export interface DrawOptions {
  /** Draw only integers that are exact as numbers, so that decoding and encoding again gives the same bytes. */
  readonly onlySafe: boolean;
}

const interesting = [0n, 1n, 127n, 128n, 1n << 31n, (1n << 32n) - 1n, 1n << 35n, (1n << 53n) - 2n, 1n << 62n];
const max = BigInt(Number.MAX_SAFE_INTEGER);

export function drawMessage(desc: DescMessage, random: Random, options: DrawOptions, levels = 4): Fields {
  const message = create(desc) as unknown as Fields;
  const isProto2 = desc.file.proto.syntax !== "proto3";
  for (const member of desc.members) {
    if (member.kind === "oneof") {
      const field = member.fields[random.below(member.fields.length + 1)];
      if (field === undefined || (field.message !== undefined && levels === 0)) continue;
      message[member.localName] = { case: field.localName, value: drawValue(field, random, options, levels) };
    } else if (member.fieldKind === "list") {
      const length = member.message !== undefined && levels === 0 ? 0 : random.below(4);
      message[member.localName] = Array.from({ length }, () => drawValue(member, random, options, levels));
    } else if (member.message !== undefined) {
      const isAlways = isAlwaysPresent(member);
      if (!isAlways && (levels === 0 || random.below(2) === 0)) continue;
      message[member.localName] = drawValue(member, random, options, levels);
    } else {
      const value = drawValue(member, random, options, levels);
      const isEmpty = value instanceof Uint8Array && value.length === 0;
      if (!(isProto2 && isEmpty) && !(isPointer(member) && random.below(2) === 0)) {
        message[member.localName] = value;
      }
    }
  }
  return message;
}

function drawValue(field: DescField, random: Random, options: DrawOptions, levels: number): unknown {
  if (field.message !== undefined) return drawMessage(field.message, random, options, levels - 1);
  if (field.enum !== undefined) {
    const isClosed = field.parent.file.proto.syntax !== "proto3";
    return random.below(field.enum.values.length + (isClosed ? 0 : 2));
  }
  switch (field.scalar) {
    case ScalarType.BOOL:
      return random.below(2) === 1;
    case ScalarType.UINT32:
      return random.bits32();
    case ScalarType.STRING:
      return ["", "a", "grüße \u{1F511}", "\uFEFFmark", "x".repeat(200)][random.below(5)];
    case ScalarType.BYTES:
      return Uint8Array.from({ length: random.below(3) * random.below(100) }, () => random.below(256));
    case ScalarType.INT64:
      return drawInteger(field, random, options, true);
    case ScalarType.UINT64:
      return drawInteger(field, random, options, false);
    default:
      throw new Error(`no values for ${field.toString()}`);
  }
}

function drawInteger(field: DescField, random: Random, options: DrawOptions, isSigned: boolean): bigint {
  const magnitude = interesting[random.below(interesting.length)] ?? 0n;
  const value = isSigned && random.below(3) === 0 ? -magnitude : magnitude;
  return options.onlySafe && !isId(field) && (value > max || value < -max) ? 1n : value;
}

/** What our codec must make of a protobuf-es message. */
export function plainOf(desc: DescMessage, message: Fields): Fields {
  return Object.fromEntries(
    desc.members.map((member) => [
      member.localName,
      member.kind === "oneof"
        ? plainOneof(member, message[member.localName])
        : plainField(member, isAbsent(member, message) ? undefined : message[member.localName]),
    ]),
  );
}

function plainOneof(oneof: DescOneof, chosen: unknown): unknown {
  const { case: name, value } = chosen as { case: string | undefined; value: unknown };
  const field = oneof.fields.find((candidate) => candidate.localName === name);
  return field === undefined ? undefined : { case: name, value: plainValue(field, value) };
}

function plainField(field: DescField, value: unknown): unknown {
  if (field.fieldKind === "list") return (value as unknown[]).map((item) => plainValue(field, item));
  return value === undefined ? undefined : plainValue(field, value);
}

function plainValue(field: DescField, value: unknown): unknown {
  if (field.message !== undefined) return plainOf(field.message, value as Fields);
  if (typeof value !== "bigint" || isId(field)) return value;
  if (value > max) return Number.MAX_SAFE_INTEGER;
  return value < -max ? Number.MIN_SAFE_INTEGER : Number(value);
}

function isId(field: DescField): boolean {
  return (idFields as readonly string[]).includes(field.localName);
}

/** Absent proto2 scalars read as zero from the prototype; of pointer fields absence is kept. */
function isAbsent(field: DescField, message: Fields): boolean {
  return isPointer(field) && !Object.hasOwn(message, field.localName);
}

function isPointer(field: DescField): boolean {
  return field.localName === "PrevExist" || field.localName === "Refresh";
}

/** Sub-messages that Go holds by value. */
function isAlwaysPresent(field: DescField): boolean {
  return field.toString().includes("raftpb.Snapshot") && field.localName !== "snapshot";
}
