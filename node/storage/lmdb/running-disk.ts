import { close, openSync, rmdir, unlinkSync } from "node:fs";
import { nodeStoreDisk, type StoreDisk } from "./store-folder.ts";

/**
 * The file system of a member that serves meanwhile. Freeing the blocks of a store takes hundreds of milliseconds for
 * every GiB, and a removal of the folder waits for it. The name goes at once; the blocks go with the last handle, and
 * the folder goes, in the thread pool. What a crash or an error leaves is removed at the next start.
 */
export const runningDisk: StoreDisk = {
  ...nodeStoreDisk,
  unlink(path) {
    const file = openSync(path, "r");
    try {
      unlinkSync(path);
    } finally {
      close(file, () => {});
    }
  },
  rmdir: (path) => rmdir(path, () => {}),
};
