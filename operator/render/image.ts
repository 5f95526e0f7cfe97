// The image of members, and of the agents that work for them.
import { defaultVersion } from "../api/cluster-spec.ts";
import type { Cluster } from "../model/objects.ts";
import type { Settings } from "../model/observation.ts";

/** Of a cluster that is gone: what a new one would get. */
export function imageOf(cluster: Cluster | undefined, { memberImageRepository }: Settings): string {
  if (cluster === undefined) return `${memberImageRepository}:${defaultVersion}`;
  const { image, version } = cluster.spec;
  const repository = image.repository ?? memberImageRepository;
  return image.digest === undefined ? `${repository}:${version}` : `${repository}@${image.digest}`;
}
