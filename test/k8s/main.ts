// The tests against a real Kubernetes API server and controller manager, with real kubectl and helm.
//
//   npm run test:k8s -- [PART...]
//
// Every *.test.ts below this folder whose path contains one of the parts (all without any), one after the other.
// Needs Go to build Kubernetes once (about six minutes on two cores); nothing here needs kubelets or root.

import { runSuite } from "../tools/suite.ts";
import { buildFamily } from "../tools/toolchain.ts";

await buildFamily("kubernetes");
await runSuite(import.meta.dirname, process.argv.slice(2));
