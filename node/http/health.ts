// The health endpoints: what each asks the member, and etcd's texts for the answers.

import type { Logger } from "../lib/log.ts";
import type { AlarmName, HealthMetrics, HttpStatus } from "./status-port.ts";

export interface TextResponse {
  readonly status: number;
  readonly body: string;
}

/** `/health`: alarms first, then the leader, then a read. */
export async function answerHealth(
  member: HttpStatus,
  query: URLSearchParams,
  { log, metrics }: { readonly log: Logger; readonly metrics: HealthMetrics },
): Promise<TextResponse> {
  const isSerializable = query.get("serializable") === "true";
  const reason = await healthProblem(member, new Set(query.getAll("exclude")), isSerializable);
  const isHealthy = reason === "";
  metrics.health(isHealthy);
  const body = JSON.stringify({ health: String(isHealthy), reason });
  if (isHealthy) return { status: 200, body };
  log.warn("/health error", { output: body, "status-code": 503 });
  return { status: 503, body: `${body}\n` };
}

async function healthProblem(
  member: HttpStatus,
  excluded: ReadonlySet<string>,
  isSerializable: boolean,
): Promise<string> {
  const alarm = member.alarms().find((name) => !excluded.has(name));
  if (alarm !== undefined) return `ALARM ${alarm}`;
  if (!isSerializable && !member.hasLeader()) return "RAFT NO LEADER";
  try {
    await member.probeRead({ isSerializable });
    return "";
  } catch (error) {
    return `RANGE ERROR:${textOf(error)}`;
  }
}

type Check = (member: HttpStatus) => Promise<void>;

const serializableRead: Check = (member) => member.probeRead({ isSerializable: true });

const checks: Readonly<Record<"livez" | "readyz", Readonly<Record<string, Check>>>> = {
  livez: { serializable_read: serializableRead },
  readyz: {
    data_corruption: async (member) => refuseAlarm(member, "CORRUPT"),
    serializable_read: serializableRead,
    linearizable_read: (member) => member.probeRead({ isSerializable: false }),
    non_learner: async (member) => {
      if (member.isLearner()) throw new Error("not supported for learner");
    },
  },
};

function refuseAlarm(member: HttpStatus, alarm: AlarmName): void {
  if (member.alarms().includes(alarm)) throw new Error(`alarm activated: ${alarm}`);
}

export type CheckType = keyof typeof checks;

/** The paths below `/livez` and `/readyz`. */
export function checkNames(type: CheckType): readonly string[] {
  return Object.keys(checks[type]);
}

/** `/livez` and `/readyz`, or with `only` one check of them. */
export async function answerChecks(
  type: CheckType,
  only: string | undefined,
  member: HttpStatus,
  query: URLSearchParams,
  { log, metrics }: { readonly log: Logger; readonly metrics: HealthMetrics },
): Promise<TextResponse> {
  const names = only === undefined ? includedChecks(type, query, log) : [only];
  let isOk = true;
  let lines = "";
  for (const name of names) {
    const problem = await problemOf(checks[type][name] as Check, member);
    metrics.check(type, name, problem === undefined);
    lines += problem === undefined ? `[+]${name} ok\n` : `[-]${name} failed: ${problem}\n`;
    if (problem !== undefined) isOk = false;
  }
  if (isOk) return { status: 200, body: `${query.has("verbose") ? lines : ""}ok\n` };
  const path = only === undefined ? `/${type}` : `/${type}/${only}`;
  log.error("Health check error", { path, reason: lines, "status-code": 503 });
  return { status: 503, body: `${lines}\n` };
}

async function problemOf(check: Check, member: HttpStatus): Promise<string | undefined> {
  try {
    await check(member);
    return undefined;
  } catch (error) {
    return textOf(error);
  }
}

function includedChecks(type: CheckType, query: URLSearchParams, log: Logger): readonly string[] {
  const names = checkNames(type);
  const excluded = new Set(query.getAll("exclude").filter((name) => name !== ""));
  const unknown = [...excluded].filter((name) => !names.includes(name));
  if (unknown.length > 0) {
    log.warn("some health checks cannot be excluded", {
      "missing-health-checks": unknown.map((name) => JSON.stringify(name)).join(","),
    });
  }
  return names.filter((name) => !excluded.has(name));
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
