// A process of its own that reads all bulk keys: `node read-range.ts HOST:PORT stream|range`, prints the bytes. Apart
// from the test's process, so that taking in a large answer does not delay what that one measures.
import { RawReader } from "./bulk.ts";

const [endpoint = "", how] = process.argv.slice(2);
const reader = new RawReader(endpoint);
console.log(how === "stream" ? await reader.rangeStream() : await reader.range());
reader.close();
