// The end-to-end tests: real processes, real clients, real files.
//
//   npm run test:e2e -- [--full] [--subject etcd] [--except PART]... [PART...]
//
// Every *.test.ts below this folder whose path contains one of the parts (all without any) and none of those
// excepted, one after the other.
// --full runs the long forms. --subject etcd runs the clients against a real etcd, which checks the tests.
import { parseArgs } from "node:util";
import { runSuite } from "../tools/suite.ts";
import { modeVariable, subjectVariable } from "./support/mode.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    full: { type: "boolean", default: false },
    subject: { type: "string", default: "etcdlike" },
    except: { type: "string", multiple: true, default: [] },
  },
});
process.env[modeVariable] = values.full ? "full" : "short";
process.env[subjectVariable] = values.subject;
await runSuite(import.meta.dirname, positionals, values.except);
