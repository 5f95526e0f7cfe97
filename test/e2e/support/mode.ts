// What main.ts told the test files, which run as processes of their own.
import type { MemberKind } from "../../tools/member.ts";

export const modeVariable = "ETCDLIKE_E2E_MODE";
export const subjectVariable = "ETCDLIKE_E2E_SUBJECT";

/** The long forms. */
export const isFull = process.env[modeVariable] === "full";

/** The kind of member that the client tests use. */
export const subject = (process.env[subjectVariable] ?? "etcdlike") as MemberKind;
