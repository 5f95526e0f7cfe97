// The composition root of the operator: flags, log, signals, exit code.
import { pino } from "pino";
import { defaultConfig } from "./kube/transport.ts";
import { describeError, type LogFields, type Logger } from "./lib/log.ts";
import { runOperator } from "./operator.ts";
import { settingsOf, usage } from "./settings.ts";

const lines = pino({
  base: null,
  timestamp: () => `,"ts":"${new Date().toISOString()}"`,
  messageKey: "msg",
  formatters: { level: (label) => ({ level: label }) },
});
const log: Logger = {
  info: (message: string, fields?: LogFields) => lines.info(fields ?? {}, message),
  warn: (message: string, fields?: LogFields) => lines.warn(fields ?? {}, message),
  error: (message: string, fields?: LogFields) => lines.error(fields ?? {}, message),
};

if (process.argv.includes("--help")) {
  process.stdout.write(usage);
  process.exit(0);
}

const stop = new AbortController();
for (const signal of ["SIGTERM", "SIGINT"] as const) {
  process.on(signal, () => {
    log.info("stopping", { signal });
    stop.abort();
  });
}

try {
  const outcome = await runOperator(settingsOf(process.argv.slice(2)), defaultConfig(), log, stop.signal);
  // A process that lost leadership starts anew, so that nothing it still held in mind can act.
  process.exit(outcome === "stopped" ? 0 : 1);
} catch (error) {
  log.error("the operator ended", { error: describeError(error) });
  process.exit(1);
}
