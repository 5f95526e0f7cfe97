// The log port on pino, with the keys and shapes of etcd's log lines. Writes are synchronous: a line that was
// logged is out, whatever happens next. Only this folder knows pino and prom-client.

import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { type DestinationStream, destination, type Level, pino } from "pino";
import { hexId } from "../lib/ids.ts";
import type { LogFields, Logger } from "../lib/log.ts";

export interface LoggerOptions {
  /** zap's names; those beyond "error" are one level here. */
  readonly level: "debug" | "info" | "warn" | "error" | "dpanic" | "panic" | "fatal";
  readonly format: "json" | "console";
  /** "stderr", "stdout" or paths of files, which are appended to. */
  readonly outputs: readonly string[];
}

const ranks = { debug: 20, info: 30, warn: 40, error: 50, dpanic: 60, panic: 60, fatal: 60 } as const;

export function createLogger({ level, format, outputs }: LoggerOptions): Logger {
  const stream = openOutputs(outputs);
  const least = ranks[level];
  const write = format === "json" ? jsonWriter(stream, level) : consoleWriter(stream);
  const method =
    (name: "debug" | "info" | "warn" | "error") =>
    (message: string, fields?: LogFields): void => {
      if (ranks[name] >= least) write(name, callerOfMethod(), message, fields);
    };
  return { debug: method("debug"), info: method("info"), warn: method("warn"), error: method("error") };
}

type LineWriter = (level: Level, caller: string, message: string, fields: LogFields | undefined) => void;

function jsonWriter(stream: DestinationStream, level: LoggerOptions["level"]): LineWriter {
  const logger = pino(
    {
      base: null,
      level: ranks[level] > ranks.error ? "fatal" : level,
      timestamp: () => `,"ts":"${timestamp(new Date())}"`,
      formatters: { level: (label) => ({ level: label }) },
      serializers: {},
    },
    stream,
  );
  // Everything goes in as one object, so that the keys come out in etcd's order.
  return (name, caller, msg, fields) => logger[name]({ caller, msg, ...printable(fields) });
}

/** zap's console form: columns between tabs, and the fields as JSON with spaces. */
function consoleWriter(stream: DestinationStream): LineWriter {
  return (name, caller, message, fields) => {
    const columns = [timestamp(new Date()), name, caller, message];
    if (fields !== undefined) columns.push(spacedJson(printable(fields)));
    stream.write(`${columns.join("\t")}\n`);
  };
}

function spacedJson(fields: Record<string, unknown>): string {
  const pairs = Object.entries(fields).map(
    ([key, value]) => `${JSON.stringify(key)}: ${JSON.stringify(value)}`,
  );
  return `{${pairs.join(", ")}}`;
}

/** zap's layout has six digits; the clock we ask has three. */
export function timestamp(at: Date): string {
  return `${at.toISOString().slice(0, -1)}000Z`;
}

/** Ids as hex and errors as their text, which is how etcd logs both. */
export function printable(fields: LogFields | undefined): Record<string, unknown> {
  const result: Record<string, unknown> = {};
  if (fields === undefined) return result;
  for (const [key, value] of Object.entries(fields)) {
    if (value !== undefined) result[key] = printableValue(value);
  }
  return result;
}

function printableValue(value: unknown): unknown {
  if (typeof value === "bigint") return hexId(value);
  if (value instanceof Error) return value.message;
  return Array.isArray(value) ? value.map(printableValue) : value;
}

const root = fileURLToPath(new URL("..", import.meta.url));

/** "folder/file.ts:line" of whoever called the log method. */
function callerOfMethod(): string {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 3;
  const { stack = "" } = new Error();
  Error.stackTraceLimit = limit;
  const frame = /\(?((?:file:|\/)[^()\s]*):(\d+):\d+\)?$/.exec(stack.split("\n")[3] ?? "");
  if (frame === null) return "unknown:0";
  const path = (frame[1] as string).startsWith("file:")
    ? fileURLToPath(frame[1] as string)
    : (frame[1] as string);
  return `${path.startsWith(root) ? path.slice(root.length) : basename(path)}:${frame[2]}`;
}

function openOutputs(outputs: readonly string[]): DestinationStream {
  const streams = [...new Set(outputs)].map((output) => destination({ dest: target(output), sync: true }));
  if (streams.length === 1) return streams[0] as DestinationStream;
  return {
    write(line) {
      for (const stream of streams) stream.write(line);
    },
  };
}

function target(output: string): number | string {
  if (output === "stdout") return 1;
  return output === "stderr" ? 2 : output;
}
