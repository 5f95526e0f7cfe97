// V8 collects garbage when its own heap calls for it and looks little at the buffers that hang on it. Whoever has just
// dropped megabytes of buffers can ask for a collection of the young generation here.

import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

type Collect = (options: { readonly type: "minor" }) => void;

let collect: Collect | undefined;

/** Takes time by what is alive in the young generation, not by what is dead: best where little is alive. */
export function collectYoungGarbage(): void {
  collect ??= exposeCollector();
  collect({ type: "minor" });
}

/** The flag adds the function to contexts made from then on. */
function exposeCollector(): Collect {
  setFlagsFromString("--expose-gc");
  return runInNewContext("gc") as Collect;
}
