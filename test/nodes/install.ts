// Our chart on the bed, with our images, in namespaces that admit restricted Pods only.
import { join } from "node:path";
import { helmFor, kubectlFor } from "../k8s/support/kubectl.ts";
import { adminKubeconfig, bedFolder } from "./bed.ts";
import { images } from "./images.ts";

export const chart = join(import.meta.dirname, "..", "..", "charts", "etcdlike");

/** The operator in the namespace system, for clusters in apps. Returns how long helm took. */
export async function installOperator(): Promise<number> {
  const kubectl = await kubectlFor(adminKubeconfig);
  for (const namespace of ["system", "apps"]) {
    await kubectl("create", "namespace", namespace);
    await kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted");
  }
  return installRelease();
}

/** As installOperator, where the namespaces are there. */
export async function installRelease(): Promise<number> {
  const helm = await helmFor(adminKubeconfig, bedFolder);
  const started = performance.now();
  const [operator, member] = [images.operator, images.member].map((image) =>
    image.slice(0, image.lastIndexOf(":")),
  );
  await helm(
    ...["install", "one", chart, "--namespace", "system", "--wait", "--timeout", "5m"],
    ...["--set", `image.repository=${operator},memberImage.repository=${member},scope.namespaces={apps}`],
  );
  return performance.now() - started;
}
