import assert from "node:assert/strict";
import { test } from "node:test";
import { decide } from "../cli/command-line.ts";
import { silentLogger } from "../lib/log.ts";
import { openTls } from "./open.ts";

test("a suite that is not known ends the start, also without a certificate", async () => {
  const open = (suite: string): ReturnType<typeof openTls> => {
    const decision = decide({ argv: [`--cipher-suites=${suite}`], environment: {}, readFile: () => "" });
    assert.ok(decision.kind === "run", JSON.stringify(decision));
    const { clientTls, listenClientUrls } = decision.config;
    const fixturesPath = "/nowhere";
    return openTls({ config: clientTls, listenUrls: listenClientUrls, fixturesPath, log: silentLogger });
  };
  await assert.rejects(open("TLS_X"), { message: 'unexpected TLS cipher suite "TLS_X"' });
  assert.equal(await open("TLS_AES_128_GCM_SHA256"), undefined);
});
