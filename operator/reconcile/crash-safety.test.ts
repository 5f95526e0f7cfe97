// Observe, decide and act in a small world, with the operator stopped at every single change, done or not, and
// started again. The world throws at the call that forms a second cluster, loses the quorum, changes members
// without a record, or deletes a copy that matters; every run has to arrive.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Defrag, Member } from "../model/objects.ts";
import { Run, type RunOptions, snapshotFile } from "./testing/run.ts";

/** Every change instead of some; `npm run test:operator` sets it. */
const isFull = process.env["ETCDLIKE_CRASH_SAFETY"] === "full";
const stride = isFull ? 1 : 4;

interface Scenario {
  readonly name: string;
  /** Changes before its own part begins: those of a bootstrap. */
  readonly from: number;
  /** From a Ready cluster of three on. */
  readonly play: (run: Run) => Promise<void>;
}

function names(run: Run): string[] {
  return run.world.entries.map((entry) => entry.name).sort();
}

function first(run: Run): string {
  const [name] = run.world.podNames();
  assert.ok(name);
  return name;
}

function memberCount(run: Run): number {
  return run.world.api.all("etcdlikemembers").length;
}

async function ready(run: Run, count: number, formations = 1): Promise<void> {
  await run.until(() => run.isReady() && memberCount(run) === count && names(run).length === count);
  assert.ok(run.world.entries.every((entry) => !entry.isLearner));
  assert.equal(run.cluster().status?.operation, undefined);
  assert.equal(run.world.formations, formations);
}

/** The first member cannot begin with what spec names, and the status says so. */
async function refused(run: Run): Promise<void> {
  const source = { pvc: { claimName: "backups", path: "damaged.db" } };
  run.world.damagedFiles.add(source.pvc.path);
  run.set({ bootstrap: { restoreFrom: { source, bumpRevision: 1_000 } } });
  const says = (type: string) =>
    run
      .cluster()
      .status?.conditions?.some(
        (one) => one.type === type && one.status === "False" && one.message.includes("damaged.db is damaged"),
      );
  await run.until(() => says("Ready") === true && says("Progressing") === true);
  assert.equal(run.world.formations, 0);
}

function quarantined(run: Run): string[] {
  return run.world.api
    .all("persistentvolumeclaims")
    .filter(({ metadata }) => metadata.labels?.["etcdlike.io/quarantined"] === "true")
    .map(({ metadata }) => metadata.name)
    .sort();
}

function defrag(run: Run, name: string): Defrag | undefined {
  return run.world.api.get("etcdlikedefrags", name) as unknown as Defrag | undefined;
}

// A bootstrap takes 82 changes; crashes around its end are played with every scenario.
const bootstrapChanges = 74;

const scenarios: readonly Scenario[] = [
  { name: "bootstrap of three members", from: 0, play: async (run) => ready(run, 3) },
  {
    name: "a bootstrap with certificates for clients, all of them renewed afterwards",
    from: 0,
    play: async (run) => {
      run.set({ tls: { client: { mode: "Mutual" } } });
      await ready(run, 3);
      const before = run.certificates();
      assert.deepEqual([...before.keys()].filter((name) => !/-[0-9]-/.test(name)).sort(), [
        "c-client-ca",
        "c-client-tls",
        "c-operator-tls",
        "c-peer-ca",
      ]);
      run.annotate({ "etcdlike.io/rotate-certificates": "now" });
      await run.until(() =>
        [...run.certificates()].every(([name, text]) => name.endsWith("-ca") === (before.get(name) === text)),
      );
      await ready(run, 3);
    },
  },
  {
    name: "scaling out to five and in to one",
    from: bootstrapChanges,
    play: async (run) => {
      await ready(run, 3);
      run.set({ replicas: 5 });
      await ready(run, 5);
      run.set({ replicas: 1 });
      await ready(run, 1);
    },
  },
  {
    name: "the leader's disk is wiped",
    from: bootstrapChanges,
    play: async (run) => {
      await ready(run, 3);
      const name = run.world.leaderName() ?? "";
      run.world.wipe(name);
      await run.until(() => run.cluster().status?.operation?.type === "Replace");
      assert.equal(run.cluster().status?.operation?.reason, "it ended with DATA_LOST");
      await run.until(() => !names(run).includes(name));
      await ready(run, 3);
      assert.ok(!names(run).includes(name), "the new member has another name");
      const kept = run.world.api.get("persistentvolumeclaims", `data-${name}`);
      assert.equal(kept?.metadata.labels?.["etcdlike.io/quarantined"], "true");
    },
  },
  {
    name: "a damaged member among members that take no learner while one is away",
    from: bootstrapChanges,
    play: async (run) => {
      run.world.isStrict = true;
      await ready(run, 3);
      const name = first(run);
      run.world.damage(name);
      await run.until(() => !names(run).includes(name));
      await ready(run, 3);
    },
  },
  {
    name: "Pod and volume of a member are deleted",
    from: bootstrapChanges,
    play: async (run) => {
      await ready(run, 3);
      const name = first(run);
      run.world.api.edit("persistentvolumeclaims", `data-${name}`, {
        metadata: { deletionTimestamp: new Date(run.world.nowMs).toISOString() },
      });
      run.world.api.edit("pods", name, {
        metadata: { deletionTimestamp: new Date(run.world.nowMs).toISOString() },
      });
      await run.until(() => !names(run).includes(name));
      await ready(run, 3);
    },
  },
  {
    name: "the user deletes an EtcdLikeMember",
    from: bootstrapChanges,
    play: async (run) => {
      await ready(run, 3);
      const name = run.world.leaderName() ?? "";
      run.world.api.edit("etcdlikemembers", name, {
        metadata: { deletionTimestamp: new Date(run.world.nowMs).toISOString() },
      });
      await run.until(() => run.world.api.get("etcdlikemembers", name) === undefined);
      await ready(run, 3);
    },
  },
  {
    name: "a node is lost with its Pod",
    from: bootstrapChanges,
    play: async (run) => {
      await ready(run, 3);
      const name = first(run);
      run.world.loseNodeOf(name);
      await run.until(() => !names(run).includes(name));
      await run.until(() => run.world.api.get("etcdlikemembers", name) === undefined);
      await ready(run, 3);
    },
  },
  {
    name: "a change of every Pod, the leader last",
    from: bootstrapChanges,
    play: async (run) => {
      await ready(run, 3);
      run.set({ options: { snapshotCount: 5_000 } });
      await run.until(() => run.cluster().status?.updatedReplicas === 3 && run.isReady());
      await ready(run, 3);
    },
  },
  {
    name: "a defragmentation of every member, the leader last, and the alarm it ends",
    from: bootstrapChanges,
    play: async (run) => {
      await ready(run, 3);
      for (const { id } of run.world.entries) run.world.fullMembers.add(id);
      await run.world.api.request({
        method: "POST",
        path: "/apis/etcdlike.io/v1alpha1/namespaces/default/etcdlikedefrags",
        body: {
          kind: "EtcdLikeDefrag",
          metadata: { name: "run" },
          spec: {
            clusterRef: { name: "c" },
            rule: { all: true, minReclaim: "32Mi" },
            memberTimeoutSeconds: 3_600,
          },
        },
      });
      await run.until(() => defrag(run, "run")?.status?.completedAt !== undefined);
      const status = defrag(run, "run")?.status;
      assert.deepEqual([status?.phase, status?.reclaimedBytes], ["Succeeded", 1_500_000]);
      const order = run.world.history.filter((what) => what.startsWith("defragment "));
      assert.equal(new Set(order).size, 3);
      assert.equal(order.at(-1), `defragment ${run.world.leaderName()}`);
      assert.equal(run.world.fullMembers.size, 0);
      await ready(run, 3);
    },
  },
  {
    name: "a policy that makes a run once, and lets it go",
    from: bootstrapChanges,
    play: async (run) => {
      await ready(run, 3);
      run.set({
        maintenance: { defrag: { quotaUsageAbove: "80%", minReclaim: 1_000, minIntervalSeconds: 600 } },
      });
      const runs = () => run.world.api.all("etcdlikedefrags") as unknown as Defrag[];
      await run.until(() => runs().some(({ status }) => status?.phase === "Succeeded"));
      await run.until(() => run.isReady());
      assert.equal(runs().length, 1);
      run.world.nowMs += 86_400_000;
      await run.until(() => runs().length === 0);
    },
  },
  {
    name: "volumes that grow",
    from: bootstrapChanges,
    play: async (run) => {
      await ready(run, 3);
      run.set({ storage: { size: "2Gi" } });
      const capacities = () =>
        run.world.api
          .all("persistentvolumeclaims")
          .map((claim) => (claim["status"] as { capacity: { storage: string } }).capacity.storage);
      await run.until(() => run.isReady() && capacities().every((capacity) => capacity === "2Gi"));
      await ready(run, 3);
      const sizes = run.world.api.all("etcdlikemembers") as unknown as Member[];
      assert.ok(sizes.every(({ spec }) => spec.storage.size === "2Gi"));
    },
  },
  {
    name: "all objects are deleted and declared again, and the volumes are taken over on request",
    from: bootstrapChanges,
    play: async (run) => {
      run.set({ storage: { reclaimPolicy: "Retain" } });
      await ready(run, 3);
      const before = names(run);
      const clusterId = run.cluster().status?.clusterId ?? "";
      await run.declareAgain();
      const progress = () =>
        run.cluster().status?.conditions?.find(({ type }) => type === "Progressing")?.reason;
      await run.until(() => progress() === "Blocked");
      assert.equal(memberCount(run), 0);
      run.set({ bootstrap: { adoptFrom: { clusterId } } });
      await ready(run, 3);
      assert.deepEqual(names(run), before);
      assert.equal(run.cluster().status?.clusterId, clusterId);
    },
  },
  {
    name: "bootstrap from a snapshot",
    from: 0,
    play: async (run) => {
      run.set({ bootstrap: { restoreFrom: { source: snapshotFile, bumpRevision: 1_000 } } });
      await ready(run, 3);
      assert.equal(run.world.restorations, 1);
    },
  },
  {
    name: "bootstrap from a damaged snapshot, and then from another",
    from: 0,
    play: async (run) => {
      await refused(run);
      run.set({ bootstrap: { restoreFrom: { source: snapshotFile, bumpRevision: 1_000 } } });
      await ready(run, 3);
      assert.equal(run.world.restorations, 1);
    },
  },
  {
    name: "bootstrap from a damaged snapshot, given up for another cluster of the name",
    from: 0,
    play: async (run) => {
      run.set({ storage: { reclaimPolicy: "Retain" } });
      await refused(run);
      run.set({ bootstrap: null });
      await run.declareAgain();
      await ready(run, 3);
      assert.equal(run.world.restorations, 0);
    },
  },
  {
    name: "a restore in place",
    from: bootstrapChanges,
    play: async (run) => {
      await ready(run, 3);
      const before = names(run);
      await run.restore("back");
      await run.until(() => run.cluster().status?.lastRestore?.name === "back");
      await ready(run, 3, 2);
      assert.equal(run.world.restorations, 1);
      assert.ok(names(run).every((name) => !before.includes(name)));
      assert.deepEqual(
        quarantined(run),
        before.map((name) => `data-${name}`),
      );
    },
  },
  {
    name: "a restore of a cluster that lost its quorum while a member was replaced, one of its nodes lost",
    from: bootstrapChanges,
    play: async (run) => {
      await ready(run, 3);
      const [one = "", two = "", three = ""] = names(run);
      run.world.damage(one);
      await run.until(() => run.cluster().status?.operation?.type === "Replace");
      run.world.wipe(two);
      run.world.loseNodeOf(three);
      await run.restore("back");
      await run.until(() => run.cluster().status?.operation?.message?.includes(`the Pod ${three}`) === true);
      assert.equal(run.world.formations, 1, "what may still run is waited for");
      run.world.findNodeOf(three);
      await run.until(() => run.cluster().status?.lastRestore?.name === "back");
      await ready(run, 3, 2);
      assert.ok(quarantined(run).includes(`data-${three}`));
    },
  },
  {
    name: "two of three disks are lost, and the third is what the cluster goes on with",
    from: bootstrapChanges,
    play: async (run) => {
      await ready(run, 3);
      const [one = "", two = "", left = ""] = names(run);
      run.world.wipe(one);
      run.world.damage(two);
      await run.restore("rescue", { survivor: { member: left } });
      await run.until(() => run.cluster().status?.lastRestore?.name === "rescue");
      await ready(run, 3, 2);
      assert.ok(quarantined(run).includes(`data-${left}`), "what it was made from is kept");
    },
  },
  {
    name: "a restore that is given up before anything was restored",
    from: bootstrapChanges,
    play: async (run) => {
      await ready(run, 3);
      const before = names(run);
      const [stuck = ""] = before;
      run.world.loseNodeOf(stuck);
      await run.restore("back");
      await run.until(() => run.cluster().status?.operation?.message?.includes(`the Pod ${stuck}`) === true);
      run.world.api.erase("etcdlikerestores", "back");
      run.world.findNodeOf(stuck);
      await ready(run, 3);
      assert.deepEqual(names(run), before);
      assert.equal(run.cluster().status?.lastRestore, undefined);
    },
  },
  {
    name: "hibernation and waking up",
    from: bootstrapChanges,
    play: async (run) => {
      await ready(run, 3);
      const before = names(run);
      run.set({ replicas: 0 });
      await run.until(() => run.world.podNames().length === 0);
      run.set({ replicas: 3 });
      await ready(run, 3);
      assert.deepEqual(names(run), before);
    },
  },
];

async function play(scenario: Scenario, options: Partial<RunOptions> = {}): Promise<Run> {
  const run = new Run({ spec: {}, ...options });
  try {
    await scenario.play(run);
  } catch (error) {
    throw new Error(`${scenario.name}, ${JSON.stringify(options)}`, { cause: error });
  }
  return run;
}

for (const scenario of scenarios) {
  test(`${scenario.name}: a crash at any change, before or after it, is survived`, async () => {
    const whole = await play(scenario);
    assert.ok(whole.changes > scenario.from);
    // What comes before the scenario's own part is covered by the first of them.
    for (let change = scenario.from; change < whole.changes; change += stride) {
      for (const isDone of isFull ? [false, true] : [change % 2 === 0]) {
        const run = await play(scenario, { crashAt: { change, isDone } });
        assert.equal(run.crashes, 1, `crash at ${change} of ${whole.changes}`);
      }
    }
  });
}

/** xorshift32: numbers in [0, 1) from a seed. */
function randomOf(seed: number): () => number {
  let state = (seed * 2_654_435_761) >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

const faults: readonly ((run: Run, name: string, random: () => number) => void)[] = [
  (run, name) => run.world.kill(name),
  (run, name) => run.world.api.edit("pods", name, { metadata: { deletionTimestamp: now(run) } }),
  (run, name) => run.world.mayLoseOne && run.world.wipe(name),
  (run, name) => run.world.mayLoseOne && run.world.damage(name),
  (run, name) => run.world.api.edit("etcdlikemembers", name, { metadata: { deletionTimestamp: now(run) } }),
  (run, name) => run.world.mayLoseOne && run.world.loseNodeOf(name),
  (run, _name, random) => run.set({ replicas: [1, 3, 5][Math.floor(random() * 3)] }),
  (run, _name, random) => run.set({ options: { snapshotCount: 1_000 + Math.floor(random() * 1_000) } }),
];

function now(run: Run): string {
  return new Date(run.world.nowMs).toISOString();
}

test("random faults, crashes and copies that lag behind: nothing forbidden happens, and it arrives", async () => {
  for (let seed = 1; seed <= (isFull ? 100 : 15); seed++) {
    const random = randomOf(seed);
    const run = new Run({
      spec: {},
      crash: () => (random() < 0.1 ? (random() < 0.5 ? "before" : "after") : "no"),
      staleness: () => (random() < 0.3 ? Math.floor(random() * 4) : 0),
    });
    try {
      await ready(run, 3);
      for (let round = 0; round < 8; round++) {
        const pods = run.world.podNames();
        const name = pods[Math.floor(random() * pods.length)] ?? "";
        faults[Math.floor(random() * faults.length)]?.(run, name, random);
        for (let tick = Math.floor(random() * 40); tick > 0; tick--) {
          await run.passes();
          run.world.tick();
        }
      }
      run.set({ replicas: 3 });
      await run.until(() => run.isReady() && memberCount(run) === 3, 3_000);
      await ready(run, 3);
    } catch (error) {
      throw new Error(`seed ${seed}`, { cause: error });
    }
  }
});
