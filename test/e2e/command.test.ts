// The command as a user meets it: help, version, flags, environment, configuration file, log and exit codes.
import assert from "node:assert/strict";
import { readFile, stat, writeFile } from "node:fs/promises";
import { test } from "node:test";
import { TestClient } from "../conformance/client.ts";
import { checkout, logLines, Running, runCommand, startCommand } from "./support/command.ts";
import { keyValue, put } from "./support/kv.ts";
import { freePort, scratchFolder } from "./support/scratch.ts";

const ready = "ready to serve client requests";

function listenFlags(port: number): readonly string[] {
  const url = `http://127.0.0.1:${port}`;
  return ["--listen-client-urls", url, "--advertise-client-urls", url];
}

test("--version prints etcd's four lines first, and exits 0", async () => {
  const { code, stdout } = await runCommand(["--version"]);
  assert.equal(code, 0);
  const lines = stdout.trimEnd().split("\n");
  assert.equal(lines[0], "etcd Version: 3.6.14");
  assert.match(lines[1] ?? "", /^Git SHA: /);
  assert.match(lines[2] ?? "", /^Go Version: /);
  assert.match(lines[3] ?? "", /^Go OS\/Arch: linux\/(amd64|arm64)$/);
  assert.match(lines[4] ?? "", /^etcdlike Version: \d+\.\d+\.\d+$/);
});

test("--help prints every implemented flag on stdout, and exits 0", async () => {
  const { code, stdout, stderr } = await runCommand(["--help"]);
  assert.deepEqual([code, stderr], [0, ""]);
  for (const flag of ["--data-dir", "--listen-client-urls", "--snapshot-count", "--termination-log"]) {
    assert.ok(stdout.includes(flag), flag);
  }
});

test("an unknown flag is named with the usage on stderr, exit 2", async () => {
  const { code, stdout, stderr } = await runCommand(["--no-such-flag", "1"]);
  assert.deepEqual([code, stdout], [2, ""]);
  assert.match(stderr, /^flag provided but not defined: -no-such-flag\n/);
  assert.ok(stderr.includes("--data-dir"), "the usage follows");
});

test("a value that does not parse is refused with the usage, exit 2", async () => {
  const { code, stderr } = await runCommand(["--snapshot-count", "many"]);
  assert.equal(code, 2);
  assert.match(stderr, /^invalid value "many" for flag -snapshot-count: /);
});

test("flags that are not implemented are refused by name, exit 1, and nothing is created", async (t) => {
  const cwd = await scratchFolder(t);
  for (const flag of ["--memory-mlock", "--enable-pprof", "--discovery=x"]) {
    const { code, stderr } = await runCommand([flag], { cwd });
    assert.equal(code, 1, flag);
    const line = logLines(stderr).find(({ msg }) => msg === "failed to verify flags");
    const name = flag.split("=")[0];
    assert.match(String(line?.["error"]), new RegExp(`^${name} is not implemented yet: `));
  }
  await assert.rejects(stat(`${cwd}/default.etcd`), { code: "ENOENT" });
});

test("settings that contradict each other are refused in etcd's words, exit 1", async () => {
  const { code, stderr } = await runCommand(["--heartbeat-interval=1000", "--election-timeout=1000"]);
  assert.equal(code, 1);
  const line = logLines(stderr).find(({ msg }) => msg === "failed to verify flags");
  assert.equal(
    line?.["error"],
    "--election-timeout[1000ms] should be at least as 5 times as --heartbeat-interval[1000ms]",
  );
});

test("the member logs in etcd's keys, creates its directory 0700, and SIGTERM ends it with 0", async (t) => {
  const cwd = await scratchFolder(t);
  const port = await freePort();
  const member = startCommand(listenFlags(port), { cwd });
  await member.printed(ready);
  assert.equal((await stat(`${cwd}/default.etcd`)).mode & 0o777, 0o700);
  assert.equal((await stat(`${cwd}/default.etcd/member`)).mode & 0o777, 0o700);
  const client = new TestClient(`127.0.0.1:${port}`);
  await put(client, "a", "kept");
  client.close();
  member.child.kill("SIGTERM");
  const { code, stdout, stderr } = await member.finished;
  assert.deepEqual([code, stdout], [0, ""]);
  const lines = logLines(stderr);
  assert.equal(lines.length, stderr.trimEnd().split("\n").length, "every line is JSON");
  for (const line of lines) {
    assert.deepEqual(Object.keys(line).slice(0, 4), ["level", "ts", "caller", "msg"]);
    assert.match(String(line["ts"]), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
    assert.match(String(line["caller"]), /^[\w/.-]+\.ts:\d+$/);
  }
  assert.ok(lines.some(({ msg }) => msg === ready));
  assert.ok(
    lines.some(({ msg, signal }) => msg === "received signal; shutting down" && signal === "terminated"),
  );

  const again = startCommand(listenFlags(port), { cwd });
  await again.printed(ready);
  const reader = new TestClient(`127.0.0.1:${port}`);
  assert.deepEqual(await keyValue(reader, "a"), "kept");
  reader.close();
  again.child.kill("SIGINT");
  assert.equal((await again.finished).code, 0);
});

test("a member that waits for its quorum ends on SIGTERM, too", async (t) => {
  const cwd = await scratchFolder(t);
  const [client, peer, other] = [await freePort(), await freePort(), await freePort()];
  const member = startCommand(
    [
      ...["--name", "m0", "--initial-cluster", `m0=http://127.0.0.1:${peer},m1=http://127.0.0.1:${other}`],
      ...["--listen-peer-urls", `http://127.0.0.1:${peer}`],
      ...["--initial-advertise-peer-urls", `http://127.0.0.1:${peer}`],
      ...["--listen-client-urls", `http://127.0.0.1:${client}`],
      ...["--advertise-client-urls", `http://127.0.0.1:${client}`],
    ],
    { cwd },
  );
  await member.printed("became pre-candidate");
  member.child.kill("SIGTERM");
  assert.equal((await member.finished).code, 0);
});

test("environment variables set flags, unknown ones are warned about, a flag and its variable conflict", async (t) => {
  const cwd = await scratchFolder(t);
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const env = {
    ETCD_NAME: "from-env",
    ETCD_DATA_DIR: `${cwd}/env-data`,
    ETCD_LISTEN_CLIENT_URLS: url,
    ETCD_ADVERTISE_CLIENT_URLS: url,
    ETCD_INITIAL_CLUSTER: "from-env=http://localhost:2380",
    ETCD_NO_SUCH_THING: "1",
  };
  const member = startCommand([], { cwd, env });
  await member.printed(ready);
  member.child.kill("SIGTERM");
  const { code, stderr } = await member.finished;
  assert.equal(code, 0);
  const lines = logLines(stderr);
  const used = lines.filter(({ msg }) => msg === "recognized and used environment variable");
  assert.ok(
    used.some((line) => line["variable-name"] === "ETCD_NAME" && line["variable-value"] === "from-env"),
  );
  const unknown = lines.find(({ msg }) => msg === "unrecognized environment variable");
  assert.equal(unknown?.["environment-variable"], "ETCD_NO_SUCH_THING=1");
  assert.ok((await stat(`${cwd}/env-data/member/wal`)).isDirectory());

  const both = await runCommand(["--name", "from-flag"], { cwd, env });
  assert.equal(both.code, 1);
  assert.match(both.stderr, /conflicting environment variable ETCD_NAME is shadowed/);
});

test("the configuration file rules alone, in etcd's YAML", async (t) => {
  const cwd = await scratchFolder(t);
  const port = await freePort();
  const file = `${cwd}/member.yaml`;
  await writeFile(
    file,
    [
      "name: from-file",
      `data-dir: ${cwd}/file-data`,
      `listen-client-urls: http://127.0.0.1:${port}`,
      `advertise-client-urls: http://127.0.0.1:${port}`,
      "initial-cluster: from-file=http://localhost:2380",
      "snapshot-count: 77",
      "watch-progress-notify-interval: 5000000000",
      'auto-compaction-retention: "1"',
      "log-level: info",
      "client-transport-security:",
      "  client-cert-auth: false",
      "",
    ].join("\n"),
  );
  const member = startCommand(["--config-file", file, "--name", "ignored"], {
    cwd,
    env: { ETCD_NAME: "ignored too" },
  });
  await member.printed(ready);
  member.child.kill("SIGTERM");
  const { code, stderr } = await member.finished;
  assert.equal(code, 0);
  const started = logLines(stderr).find(({ msg }) => msg === "starting an etcd server");
  assert.equal(started?.["name"], "from-file");
  assert.equal(started?.["snapshot-count"], 77);
  assert.ok((await stat(`${cwd}/file-data/member`)).isDirectory());

  const missing = await runCommand(["--config-file", `${cwd}/none.yaml`]);
  assert.equal(missing.code, 1);
  assert.match(missing.stderr, /none\.yaml: no such file or directory/);
});

test("--log-format=console and --log-outputs write where and how they say", async (t) => {
  const cwd = await scratchFolder(t);
  const flags = [
    ...listenFlags(await freePort()),
    ...["--log-format", "console", "--log-outputs", `${cwd}/log,stdout`],
  ];
  const member = startCommand(flags, { cwd });
  await member.printed(ready);
  member.child.kill("SIGTERM");
  const { stdout, stderr } = await member.finished;
  assert.equal(stderr, "");
  assert.match(stdout, /^\d{4}-\d\d-\d\dT[\d:.]+Z\tinfo\t[\w./-]+:\d+\tready to serve client requests$/m);
  assert.equal(await readFile(`${cwd}/log`, "utf8"), stdout);
});

test("a port that is taken ends the start with 1 and its name, and leaves no lock behind", async (t) => {
  const cwd = await scratchFolder(t);
  const port = await freePort();
  const first = startCommand([...listenFlags(port), "--data-dir", `${cwd}/one`], { cwd });
  await first.printed(ready);
  const peerUrl = `http://127.0.0.1:${await freePort()}`;
  const second = await runCommand(
    [...listenFlags(port), "--listen-peer-urls", peerUrl, "--data-dir", `${cwd}/two`],
    { cwd },
  );
  assert.equal(second.code, 1);
  assert.match(second.stderr, new RegExp(`EADDRINUSE.*${port}|${port}.*in use`));
  first.child.kill("SIGTERM");
  await first.finished;
  const third = startCommand([...listenFlags(port), "--data-dir", `${cwd}/two`], { cwd });
  await third.printed(ready);
  third.child.kill("SIGTERM");
  assert.equal((await third.finished).code, 0);
});

test("npm start passes flags on", async (t) => {
  const cwd = await scratchFolder(t);
  const flags = ["--name", "x", "--initial-cluster", "x=http://localhost:2380", "--data-dir", `${cwd}/data`];
  const npm = new Running(["npm", "start", "--silent", "--", ...flags, ...listenFlags(await freePort())], {
    cwd: checkout,
  });
  await npm.printed(ready);
  const started = logLines(npm.stderr).find(({ msg }) => msg === "starting an etcd server");
  assert.equal(started?.["name"], "x");
  npm.child.kill("SIGTERM");
  await npm.finished;
  assert.match(
    npm.stderr,
    /"msg":"closed etcd server"/,
    "the signal reaches the member behind npm and its shell",
  );
});
