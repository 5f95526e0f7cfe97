// What of etcdctl's output may differ between two members on the same ports: the mask of the differential test,
// for text. Member and cluster ids follow from name and URLs, so here they must be equal.

interface Row {
  readonly what: string;
  readonly pattern: RegExp;
  readonly replacement: string;
}

const rows: readonly Row[] = [
  { what: "Raft term and index in JSON", pattern: /"(raft\w*)":\d+/gi, replacement: '"$1":<masked>' },
  { what: "Raft term and index in fields", pattern: /"(Raft\w*)" : \d+/g, replacement: '"$1" : <masked>' },
  { what: "database sizes in JSON", pattern: /"(dbSize|dbSizeInUse)":\d+/g, replacement: '"$1":<masked>' },
  { what: "database sizes in fields", pattern: /"(DBSize\w*)" : \d+/g, replacement: '"$1" : <masked>' },
  {
    what: "versions in JSON",
    pattern: /"(version|storageVersion)":"[\d.]*"/g,
    replacement: '"$1":"<masked>"',
  },
  {
    what: "versions in fields",
    pattern: /"(Version|StorageVersion)" : "[\d.]*"/g,
    replacement: '"$1" : "<masked>"',
  },
  { what: "time a health check took", pattern: /\b\d+(\.\d+)?(ns|µs|ms|s)\b(?!\))/g, replacement: "<took>" },
  { what: "remaining lease time", pattern: /remaining\(\d+s\)/g, replacement: "remaining(<masked>)" },
  {
    what: "remaining lease time in JSON",
    pattern: /"ttl":\d+(?=,"granted-ttl")/g,
    replacement: '"ttl":<masked>',
  },
  {
    what: "remaining lease time in fields",
    pattern: /"TTL" : \d+(?=\n"GrantedTTL")/g,
    replacement: '"TTL" : <masked>',
  },
  {
    what: "lease ids that etcdctl never shows otherwise",
    pattern: /(a-lock\/)[0-9a-f]+/g,
    replacement: "$1<id>",
  },
  { what: "time stamps of a client's own log lines", pattern: /"ts":"[^"]*"/g, replacement: '"ts":<masked>' },
  { what: "a client's own port", pattern: /LocalAddr: '[^']*'/g, replacement: "LocalAddr: <masked>" },
  {
    what: "a client's own target name",
    pattern: /endpoint:\/\/client-[0-9a-f-]+/g,
    replacement: "endpoint://<client>",
  },
  { what: "addresses of Go objects in client log lines", pattern: /0x[0-9a-f]+/g, replacement: "<address>" },
];

export function printTextMask(): void {
  console.log(`masked in etcdctl's output: ${rows.map((row) => row.what).join("; ")};`);
  console.log(
    "  in the table and the simple line of endpoint status: version, storage version, sizes, term, index",
  );
}

/** Columns of `endpoint status` that are masked, by heading. */
const maskedColumn = /VERSION|DB SIZE|IN USE|RAFT/;
/** The same in the simple form, which has no headings: of 3.6 and of 3.4. */
const maskedPositions: Readonly<Record<number, readonly number[]>> = {
  16: [2, 3, 4, 5, 6, 10, 11, 12],
  9: [2, 3, 6, 7, 8],
  10: [2, 3, 6, 7, 8],
};

export function maskText(text: string, command: string): string {
  let masked = text;
  for (const { pattern, replacement } of rows) masked = masked.replaceAll(pattern, replacement);
  // The words of a table are compared, not the widths of its columns, which follow what is masked.
  if (command.includes("-w table")) return maskTable(masked);
  if (command.startsWith("endpoint status")) return masked.split("\n").map(maskStatusLine).join("\n");
  return masked;
}

function maskTable(text: string): string {
  const lines = text.split("\n").filter((line) => line.startsWith("|"));
  const cells = lines.map((line) => line.split("|").map((cell) => cell.trim()));
  const headings = cells[0] ?? [];
  return cells
    .map((row, i) =>
      row.map((cell, j) => (i > 0 && maskedColumn.test(headings[j] ?? "") ? "<masked>" : cell)).join("|"),
    )
    .join("\n");
}

function maskStatusLine(line: string): string {
  const parts = line.split(", ");
  const positions = maskedPositions[parts.length];
  if (positions === undefined || line.startsWith('"') || line.startsWith("[")) return line;
  return parts.map((part, i) => (positions.includes(i) ? "<masked>" : part)).join(", ");
}
