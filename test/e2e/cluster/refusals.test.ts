// Members that must not begin: both kinds are started with the same flags, refuse, and say why in the same words.
import assert from "node:assert/strict";
import { lookup } from "node:dns/promises";
import { cp, rm } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { freePorts, type Member, type MemberKind, start } from "../../tools/member.ts";
import { toolPath } from "../../tools/toolchain.ts";
import { TestCluster } from "../support/clusters.ts";
import { binPath, type Finished, logLines, nodePath, Running, runCommand } from "../support/command.ts";
import { keyValue, put } from "../support/kv.ts";
import { freePort, scratchFolder } from "../support/scratch.ts";

const timeout = 180_000;
const processTimeoutMs = 60_000;
const mismatchExit = 66;

interface Place {
  readonly peerUrl: string;
  /** Nobody listens there. */
  readonly deadUrl: string;
  readonly neighbour: Member;
}

interface Refusal {
  readonly what: string;
  readonly flags: (place: Place) => readonly string[];
  /** How both say it; one may say more behind it. */
  readonly text: (place: Place) => string;
}

const noCluster =
  "cannot fetch cluster info from peer urls: could not retrieve cluster information from the given URLs";
const noName = `couldn't find local name "m" in the initial cluster configuration`;
const existing = "--initial-cluster-state=existing";

const refusals: readonly Refusal[] = [
  {
    what: "whose name is not in a new cluster",
    flags: ({ peerUrl }) => [`--initial-cluster=a=${peerUrl}`],
    text: () => noName,
  },
  {
    what: "whose name is not in an existing cluster",
    flags: ({ neighbour }) => [`--initial-cluster=default=${neighbour.peerUrl}`, existing],
    text: () => noName,
  },
  {
    what: "that advertises another URL than the cluster has for it",
    flags: ({ deadUrl }) => [`--initial-cluster=m=${deadUrl}`],
    text: ({ peerUrl, deadUrl }) =>
      `--initial-cluster has m=${deadUrl} but missing from --initial-advertise-peer-urls=${peerUrl} ` +
      `(resolved urls: "${peerUrl}" != "${deadUrl}")`,
  },
  {
    what: "that advertises the address of localhost, by which the cluster calls it",
    flags: ({ peerUrl }) => [`--initial-cluster=m=${peerUrl.replace("127.0.0.1", "localhost")}`],
    text: ({ peerUrl }) =>
      `--initial-cluster has m=${peerUrl.replace("127.0.0.1", "localhost")} but missing from ` +
      `--initial-advertise-peer-urls=${peerUrl} (resolved urls: "${peerUrl}" != "`,
  },
  {
    what: "that advertises a URL more than the cluster has for it",
    flags: ({ peerUrl, deadUrl }) => [
      `--initial-advertise-peer-urls=${peerUrl},${deadUrl}`,
      `--initial-cluster=m=${peerUrl}`,
    ],
    text: ({ deadUrl }) =>
      `--initial-advertise-peer-urls has ${deadUrl} but missing from --initial-cluster=m=http://`,
  },
  {
    what: "whose URL another member has too",
    flags: ({ peerUrl }) => [`--initial-cluster=m=${peerUrl},a=${peerUrl}`],
    text: ({ peerUrl }) => `initial cluster a=${peerUrl},m=${peerUrl} has duplicate url`,
  },
  {
    what: "that joins a cluster of which nobody answers",
    flags: ({ peerUrl, deadUrl }) => [`--initial-cluster=m=${peerUrl},a=${deadUrl}`, existing],
    text: () => noCluster,
  },
  {
    what: "that joins a cluster of itself alone",
    flags: ({ peerUrl }) => [`--initial-cluster=m=${peerUrl}`, existing],
    text: () => noCluster,
  },
  {
    what: "that joins a cluster to which it was not added",
    flags: ({ peerUrl, neighbour }) => [
      `--initial-cluster=m=${peerUrl},default=${neighbour.peerUrl}`,
      existing,
    ],
    text: () => "member count is unequal",
  },
];

function startAlone(kind: MemberKind, flags: readonly string[]): Promise<Member> {
  return start({ kind, flags, readyTimeoutMs: processTimeoutMs });
}

async function commandOf(kind: MemberKind): Promise<readonly [string, ...string[]]> {
  return kind === "etcd" ? [await toolPath("etcd")] : [nodePath, binPath];
}

/** Starts a member that should end of itself, on ports and with a directory of its own. */
async function runToEnd(
  t: TestContext,
  kind: MemberKind,
  flagsAt: (peerUrl: string) => readonly string[],
): Promise<Finished> {
  const { client, peer } = await freePorts();
  const [clientUrl, peerUrl] = [`http://127.0.0.1:${client}`, `http://127.0.0.1:${peer}`];
  const command = await commandOf(kind);
  const flags = [
    ...["--name=m", `--data-dir=${await scratchFolder(t)}/data`],
    ...[`--listen-client-urls=${clientUrl}`, `--advertise-client-urls=${clientUrl}`],
    ...[`--listen-peer-urls=${peerUrl}`, `--initial-advertise-peer-urls=${peerUrl}`],
    ...flagsAt(peerUrl),
  ];
  return new Running([...command, ...flags], { timeoutMs: processTimeoutMs }).finished;
}

/** What the last line says about the end. */
function reasonOf({ stderr }: Finished): string {
  const fatal = logLines(stderr).findLast(({ level }) => level === "fatal");
  return String(fatal?.["error"] ?? fatal?.["msg"]);
}

test("a member is refused in the words of a real one", { timeout }, async (t) => {
  const neighbour = await startAlone("etcd", []);
  t.after(() => neighbour.stop());
  for (const { what, flags, text } of refusals)
    await t.test(`a member ${what}`, async (t) => {
      const deadUrl = `http://127.0.0.1:${await freePort()}`;
      await Promise.all(
        (["etcd", "etcdlike"] as const).map(async (kind) => {
          let wanted = "";
          const finished = await runToEnd(t, kind, (peerUrl) => {
            const place = { peerUrl, deadUrl, neighbour };
            wanted = text(place);
            return flags(place);
          });
          assert.equal(finished.code, 1, `${kind}: ${finished.stderr}`);
          const reason = reasonOf(finished);
          assert.ok(reason.includes(wanted), `${kind} says "${reason}", not "${wanted}"`);
        }),
      );
    });
});

test("a member of a new cluster may be called by any name of its address", { timeout }, async (t) => {
  const name = hostname();
  const { address } = await lookup(name, { family: 4 });
  for (const kind of ["etcd", "etcdlike"] as const) {
    const port = await freePort();
    const member = await startAlone(kind, [
      `--initial-advertise-peer-urls=http://${name}:${port}`,
      `--initial-cluster=default=http://${address}:${port}`,
    ]);
    t.after(() => member.stop());
  }
});

test("discovery by another cluster or by DNS is refused by its flag's name", async (t) => {
  const cwd = await scratchFolder(t);
  for (const flag of ["--discovery=http://127.0.0.1:1/x", "--discovery-srv=example.invalid"]) {
    const { code, stderr } = await runCommand([flag], { cwd });
    assert.equal(code, 1, flag);
    const line = logLines(stderr).find(({ msg }) => msg === "failed to verify flags");
    assert.equal(line?.["error"], `${flag.split("=")[0]} is not implemented yet: discovery is not built yet`);
  }
});

test("a member whose flags make another cluster than its neighbour's ends as CLUSTER_MISMATCH", {
  timeout,
}, async (t) => {
  for (const kind of ["etcd", "etcdlike"] as const) {
    const neighbour = await startAlone(kind, []);
    t.after(() => neighbour.stop());
    const { code, stderr } = await runToEnd(t, "etcdlike", (peerUrl) => [
      `--initial-cluster=m=${peerUrl},default=${neighbour.peerUrl}`,
      "--initial-cluster-token=another",
    ]);
    assert.equal(code, mismatchExit, stderr);
    assert.match(stderr, /"reason":"CLUSTER_MISMATCH"/);
    assert.ok(stderr.includes(`${neighbour.peerUrl} is of the cluster`), stderr);
  }
});

test("a member on the data of another cluster ends as CLUSTER_MISMATCH, and on its own goes on", {
  timeout,
}, async (t) => {
  const cluster = await TestCluster.start(t, { kinds: ["etcdlike", "etcdlike", "etcdlike"] });
  const [place] = await cluster.followers();
  assert.ok(place !== undefined);
  await put(place.client, "key", "kept");
  await place.stop();
  const own = join(await scratchFolder(t), "own");
  await cp(place.dataDir, own, { recursive: true });
  await rm(place.dataDir, { recursive: true });

  const { peerUrl, dataDir } = place;
  const [, port] = peerUrl.split("127.0.0.1:");
  const foreign = await start({
    kind: "etcdlike",
    dataDir,
    ports: { client: await freePort(), peer: Number(port) },
    flags: ["--initial-cluster-token=another"],
    readyTimeoutMs: processTimeoutMs,
  });
  await foreign.stop();
  await assert.rejects(place.start(), /is of the cluster [0-9a-f]+, but .*"reason":"CLUSTER_MISMATCH"/);

  await rm(dataDir, { recursive: true });
  await cp(own, dataDir, { recursive: true });
  await place.start();
  assert.equal(await keyValue(place.client, "key"), "kept");
});
