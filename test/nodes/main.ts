// The bed of three nodes for a person to use, `npm run k8s:up` and `npm run k8s:down`, and the tests on it,
// `npm run test:e2e:full -- [PART...]`. `npm run k8s:prepare` makes what they need ahead of them. Needs root, and
// Debian for what apt-get installs.
import { kubernetesTool } from "../tools/kubectl-helm.ts";
import { runSuite } from "../tools/suite.ts";
import { adminKubeconfig, bedDown, bedUp, nodes, prepareBed } from "./bed.ts";
import { images } from "./images.ts";

if (process.argv[2] === "up") {
  const started = performance.now();
  await bedUp();
  console.log(`${nodes.length} nodes after ${((performance.now() - started) / 1000).toFixed(1)} s
export KUBECONFIG=${adminKubeconfig}
export PATH=$PATH:${await kubernetesTool("kubectl")}/..:${await kubernetesTool("helm")}/..
helm install etcdlike charts/etcdlike --namespace etcdlike --create-namespace \\
  --set image.repository=${images.operator.split(":")[0]},memberImage.repository=${images.member.split(":")[0]}`);
} else if (process.argv[2] === "down") {
  await bedDown();
} else if (process.argv[2] === "prepare") {
  await prepareBed();
} else if (process.argv[2] === "test") {
  await prepareBed();
  await runSuite(import.meta.dirname, process.argv.slice(3));
} else {
  console.error("usage: main.ts up|down|prepare|test [PART...]");
  process.exit(2);
}
process.exit(0);
