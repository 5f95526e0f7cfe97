// How a member is reached.
import { must } from "../lib/assert.ts";
import type { Endpoint } from "../member/port.ts";
import { clientPort, hostOf } from "../model/names.ts";
import type { Observation } from "../model/observation.ts";

export function endpointOf(
  { cluster, pods, access }: Pick<Observation, "cluster" | "pods" | "access">,
  name: string,
): Endpoint {
  const pod = pods.find((one) => one.name === name);
  return {
    address: `${must(pod?.address, "a member that is called has an address", { name })}:${clientPort}`,
    ...(access === undefined ? {} : { tls: { ...access, serverName: hostOf(cluster, name) } }),
  };
}
