// A member to be recorded: the real one, or one of three mutants, planted from outside through the seams that
// `startMember` has. The third mutant, without directory syncs, is planted by without-directory-sync.ts.

import type { Engine, EngineOperation } from "../../node/lib/backend.ts";
import { textOf } from "../../node/lib/bytes.ts";
import { startMember } from "../../node/member.ts";
import { exitWith } from "../../node/observe/fatal-exit.ts";
import type { LogStore } from "../../node/replica/log-store.ts";
import { start } from "../../node/start.ts";

/** Answers as soon as the log was asked to sync. */
function answeringEarly(log: LogStore): LogStore {
  return {
    append(append, done) {
      log.append(append, done === undefined ? undefined : () => {});
      if (done !== undefined) setImmediate(done);
    },
    saveSnapshot: (snapshot, releaseIndex, done) => log.saveSnapshot(snapshot, releaseIndex, done),
    installSnapshot: (snapshot, hardState, done) => log.installSnapshot(snapshot, hardState, done),
    close: (done) => log.close(done),
  };
}

const positionKeys: readonly string[] = ["consistent_index", "term", "confState"];

/** Stores the applied index in a transaction of its own, before the effects it speaks of. */
function storingIndexFirst(engine: Engine): Engine {
  return {
    get: (bucket, key) => engine.get(bucket, key),
    cursor: (bucket, range) => engine.cursor(bucket, range),
    size: () => engine.size(),
    install: (generation) => engine.install(generation),
    defragment: (done) => engine.defragment(done),
    close: (done) => engine.close(done),
    flush(operations, done) {
      const position: EngineOperation[] = [];
      const effects: EngineOperation[] = [];
      for (const operation of operations) {
        const isPosition = operation.bucket === "meta" && positionKeys.includes(textOf(operation.key));
        (isPosition ? position : effects).push(operation);
      }
      engine.flush(position, () => engine.flush(effects, done));
    },
  };
}

const mutant = process.env["POWER_MUTANT"];
const { config, log, fatalExit } = start(process.argv.slice(2), process.env);
const end = (error: unknown): never => exitWith(error, fatalExit);
const member = await startMember({
  config,
  log,
  onFatal: end,
  onUnexpected: end,
  ...(mutant === "answer-before-sync" ? { wrapLog: answeringEarly } : {}),
  ...(mutant === "index-in-own-transaction" ? { wrapEngine: storingIndexFirst } : {}),
});
process.on("SIGTERM", () => {
  member.stop().then(() => process.exit(0), end);
});
