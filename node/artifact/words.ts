/** What may follow the word "snapshot" on the command line beside etcdutl's commands. */
export const artifactWords: readonly string[] = [
  "upload",
  "verify",
  "fetch",
  "bootstrap",
  "salvage",
  "delete",
];
