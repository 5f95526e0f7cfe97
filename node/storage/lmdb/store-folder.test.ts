import assert from "node:assert/strict";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { FatalError } from "../../lib/fatal.ts";
import { finishInstall, nodeStoreDisk, type StoreDisk, StoreFolder } from "./store-folder.ts";
import { Crash, crashingDisk } from "./testing/crashing-disk.ts";

function withFolder(body: (path: string) => void): void {
  const path = mkdtempSync(join(tmpdir(), "etcdlike-store-folder-"));
  try {
    body(path);
  } finally {
    rmSync(path, { recursive: true });
  }
}

/** Runs `steps` on a disk that crashes before its nth change, for every n, and `check` after each. Returns the count. */
function crashAtEveryStep(options: {
  prepare: (path: string) => void;
  steps: (path: string, disk: StoreDisk) => void;
  check: (path: string) => void;
}): number {
  for (let changesMax = 0; ; changesMax++) {
    let isWhole = false;
    withFolder((path) => {
      options.prepare(path);
      try {
        options.steps(path, crashingDisk(changesMax));
        isWhole = true;
      } catch (error) {
        assert.ok(error instanceof Crash, String(error));
      }
      options.check(path);
    });
    if (isWhole) return changesMax;
  }
}

/** Makes a further generation that holds `text` and makes it live. */
function switchTo(folder: StoreFolder, disk: StoreDisk, text: string): string {
  const path = folder.begin();
  const file = disk.create(`${path}/data.mdb`);
  disk.pwrite(file, Buffer.from(text), 0);
  disk.fdatasync(file);
  disk.close(file);
  folder.publish(path);
  return path;
}

function contentOf(folder: StoreFolder): string | undefined {
  return folder.livePath === undefined ? undefined : readFileSync(`${folder.livePath}/data.mdb`, "utf8");
}

function storesIn(path: string): string[] {
  return readdirSync(path)
    .filter((name) => name.startsWith("store-"))
    .sort();
}

test("a crash at any step of the first start leaves no store or a whole one", () => {
  const seen = new Set<string | undefined>();
  const count = crashAtEveryStep({
    prepare: () => {},
    steps: (path, disk) => switchTo(new StoreFolder(path, disk), disk, "one"),
    check: (path) => {
      const folder = new StoreFolder(path);
      const content = contentOf(folder);
      seen.add(content);
      assert.ok(content === undefined || content === "one", content);
      assert.deepEqual(storesIn(path), content === undefined ? [] : ["store-1"]);
      assert.equal(existsSync(`${path}/CURRENT`), content !== undefined);
      // Whatever was left, the next start is a normal one.
      if (content === undefined) switchTo(folder, nodeStoreDisk, "again");
      assert.equal(contentOf(new StoreFolder(path)), content ?? "again");
    },
  });
  assert.deepEqual(seen, new Set([undefined, "one"]));
  assert.ok(count > 10, `${count} steps`);
});

test("the names of a generation's files are durable before the file that calls it whole has one", () =>
  withFolder((path) => {
    const calls: string[] = [];
    const disk: StoreDisk = {
      ...nodeStoreDisk,
      create: (file) => {
        calls.push(`create ${file}`);
        return nodeStoreDisk.create(file);
      },
      fsyncDir: (folder) => {
        calls.push(`sync ${folder}`);
        nodeStoreDisk.fsyncDir(folder);
      },
    };
    const store = switchTo(new StoreFolder(path, disk), disk, "one");
    const inStore = calls.filter((call) => call.includes(store)).map((call) => call.replace(store, "S"));
    assert.deepEqual(inStore, ["create S/data.mdb", "sync S", "create S/FORMAT.tmp", "sync S"]);
  }));

test("a crash at any step of a switch leaves the old store or the new one", () => {
  const seen = new Set<string | undefined>();
  crashAtEveryStep({
    prepare: (path) => {
      switchTo(new StoreFolder(path), nodeStoreDisk, "old");
    },
    steps: (path, disk) => {
      const folder = new StoreFolder(path, disk);
      const before = folder.livePath;
      switchTo(folder, disk, "new");
      assert.ok(before !== undefined);
      folder.removeDead(before);
    },
    check: (path) => {
      const folder = new StoreFolder(path);
      const content = contentOf(folder);
      seen.add(content);
      assert.deepEqual(storesIn(path), [content === "old" ? "store-1" : "store-2"]);
      assert.equal(existsSync(`${path}/CURRENT.tmp`), false);
      assert.equal(existsSync(folder.begin()), true);
    },
  });
  assert.deepEqual(seen, new Set(["old", "new"]));
});

const receivedIndex = 1200;

/** Makes a whole generation that is announced, as an installation does before the log takes the snapshot in. */
function announceReceived(folder: StoreFolder, disk: StoreDisk): string {
  const path = folder.begin();
  const file = disk.create(`${path}/data.mdb`);
  disk.pwrite(file, Buffer.from("received"), 0);
  disk.fdatasync(file);
  disk.close(file);
  folder.seal(path);
  folder.announce(path, receivedIndex);
  return path;
}

/** Stands for the log: it holds the snapshot from this step on. */
function logSnapshot(path: string, disk: StoreDisk): void {
  disk.close(disk.create(`${path}/logged`));
}

function loggedIndex(path: string): number {
  return existsSync(`${path}/logged`) ? receivedIndex : 0;
}

test("W4: a crash at any step of an installation leaves the old store while the log does, and the received one after", () => {
  const seen = new Set<string | undefined>();
  crashAtEveryStep({
    prepare: (path) => {
      switchTo(new StoreFolder(path), nodeStoreDisk, "old");
    },
    steps: (path, disk) => {
      const folder = new StoreFolder(path, disk);
      const before = folder.livePath;
      const received = announceReceived(folder, disk);
      logSnapshot(path, disk);
      folder.publish(received);
      assert.ok(before !== undefined);
      folder.removeDead(before);
    },
    check: (path) => {
      const expected = loggedIndex(path) === 0 ? "old" : "received";
      finishInstall(path, loggedIndex(path));
      const folder = new StoreFolder(path);
      seen.add(contentOf(folder));
      assert.equal(contentOf(folder), expected);
      assert.deepEqual(storesIn(path), [expected === "old" ? "store-1" : "store-2"]);
      assert.equal(existsSync(`${path}/INSTALL`), false);
    },
  });
  assert.deepEqual(seen, new Set(["old", "received"]));
});

test("a crash at any step of ending an installation at the next start changes nothing of its outcome", () => {
  for (const isLogged of [false, true]) {
    crashAtEveryStep({
      prepare: (path) => {
        const folder = new StoreFolder(path);
        switchTo(folder, nodeStoreDisk, "old");
        announceReceived(folder, nodeStoreDisk);
        if (isLogged) logSnapshot(path, nodeStoreDisk);
      },
      steps: (path, disk) => {
        finishInstall(path, loggedIndex(path), disk);
        new StoreFolder(path, disk);
      },
      check: (path) => {
        finishInstall(path, loggedIndex(path));
        assert.equal(contentOf(new StoreFolder(path)), isLogged ? "received" : "old");
        assert.equal(storesIn(path).length, 1);
      },
    });
  }
});

test("W8: a defragmentation that ends while a received store is announced leaves it announced", () =>
  withFolder((path) => {
    const folder = new StoreFolder(path);
    switchTo(folder, nodeStoreDisk, "old");
    const received = announceReceived(folder, nodeStoreDisk);
    const copy = folder.begin();
    writeFileSync(`${copy}/data.mdb`, "old, written anew");
    folder.seal(copy);
    folder.replaceLive(copy);
    assert.equal(contentOf(folder), "old, written anew");
    // The log took the snapshot in, and the process ended there.
    finishInstall(path, receivedIndex);
    const next = new StoreFolder(path);
    assert.equal(next.livePath, received);
    assert.deepEqual(storesIn(path), ["store-2"]);
  }));

test("an INSTALL that names nothing is refused by name", () =>
  withFolder((path) => {
    switchTo(new StoreFolder(path), nodeStoreDisk, "old");
    writeFileSync(`${path}/INSTALL`, "../elsewhere 7\n");
    const refused = { reason: "STORE_DAMAGED", message: /INSTALL names no generation and index/ };
    assert.throws(() => finishInstall(path, 7), refused);
    assert.equal(existsSync(`${path}/INSTALL`), true);
  }));

test("a crash at any step of removing leftovers keeps the live store", () => {
  crashAtEveryStep({
    prepare: (path) => {
      switchTo(new StoreFolder(path), nodeStoreDisk, "live");
      for (const leftover of ["store-2", "store-7"]) {
        mkdirSync(`${path}/${leftover}`);
        writeFileSync(`${path}/${leftover}/data.mdb`, "dead");
        writeFileSync(`${path}/${leftover}/FORMAT`, "etcdlike-store 1.0\n");
      }
      writeFileSync(`${path}/CURRENT.tmp`, "store-7\n");
    },
    steps: (path, disk) => {
      new StoreFolder(path, disk);
    },
    check: (path) => {
      assert.equal(contentOf(new StoreFolder(path)), "live");
      assert.deepEqual(storesIn(path), ["store-1"]);
    },
  });
});

test("a path is never used twice by one process", () =>
  withFolder((path) => {
    const folder = new StoreFolder(path);
    const paths = ["a", "b", "c"].map((text) => switchTo(folder, nodeStoreDisk, text));
    for (const dead of paths.slice(0, 2)) folder.removeDead(dead);
    assert.deepEqual(
      paths.map((used) => used.slice(path.length)),
      ["/store-1", "/store-2", "/store-3"],
    );
    assert.equal(folder.begin(), `${path}/store-4`);
    assert.equal(contentOf(folder), "c");
  }));

test("the live store cannot be removed", () =>
  withFolder((path) => {
    const folder = new StoreFolder(path);
    const live = switchTo(folder, nodeStoreDisk, "live");
    assert.throws(() => folder.removeDead(live), { name: "AssertionFailure" });
  }));

test("what cannot be trusted is refused by name and left as it is", () => {
  const cases: [string, (path: string) => void, string, RegExp][] = [
    [
      "a newer format",
      (path) => writeFileSync(`${path}/store-1/FORMAT`, "etcdlike-store 2.0\n"),
      "UNKNOWN_ENTRY",
      /FORMAT says store format 2/,
    ],
    [
      "an unreadable format",
      (path) => writeFileSync(`${path}/store-1/FORMAT`, "\0\0\0"),
      "STORE_DAMAGED",
      /FORMAT is no store format/,
    ],
    [
      "an empty CURRENT",
      (path) => writeFileSync(`${path}/CURRENT`, ""),
      "STORE_DAMAGED",
      /CURRENT names no store/,
    ],
    [
      "a CURRENT that leads elsewhere",
      (path) => writeFileSync(`${path}/CURRENT`, "../elsewhere\n"),
      "STORE_DAMAGED",
      /CURRENT names no store/,
    ],
    [
      "a CURRENT without its store",
      (path) => writeFileSync(`${path}/CURRENT`, "store-9\n"),
      "STORE_DAMAGED",
      /names store-9, which is not there whole/,
    ],
    [
      "no CURRENT and two stores",
      (path) => {
        mkdirSync(`${path}/store-2`);
        writeFileSync(`${path}/store-2/FORMAT`, "etcdlike-store 1.0\n");
        rmSync(`${path}/CURRENT`);
      },
      "STORE_DAMAGED",
      /CURRENT is missing, and it could name any of store-1, store-2/,
    ],
  ];
  for (const [label, damage, reason, message] of cases) {
    withFolder((path) => {
      switchTo(new StoreFolder(path), nodeStoreDisk, "data");
      damage(path);
      const before = readdirSync(path, { recursive: true });
      assert.throws(
        () => new StoreFolder(path),
        (error) => {
          assert.ok(error instanceof FatalError, label);
          assert.equal(error.reason, reason, label);
          assert.match(error.message, message, label);
          assert.ok(error.details.file?.startsWith(path), label);
          return true;
        },
      );
      assert.deepEqual(readdirSync(path, { recursive: true }), before, label);
    });
  }
});

test("a later minor format is accepted", () =>
  withFolder((path) => {
    switchTo(new StoreFolder(path), nodeStoreDisk, "data");
    writeFileSync(`${path}/store-1/FORMAT`, "etcdlike-store 1.9\n");
    assert.equal(contentOf(new StoreFolder(path)), "data");
  }));
