// Imported before a member, in each of its threads: a mutant that never syncs a directory. Files are synced by
// fdatasync, so all that is lost with fsync are the names.

import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";

fs.fsyncSync = () => {};
syncBuiltinESMExports();
