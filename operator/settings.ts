// The operator's flags.
import { parseArgs } from "node:util";

export interface OperatorSettings {
  /** Namespaces whose clusters it looks after; all of them when empty. */
  readonly namespaces: readonly string[];
  readonly leaseNamespace: string;
  readonly leaseName: string;
  /** Image of members whose cluster names none. */
  readonly memberImageRepository: string;
  readonly listenHost: string;
  readonly listenPort: number;
  readonly workers: number;
}

export const usage = `etcdlike-operator [flags]
  --namespaces A,B              namespaces to look after; all without it
  --lease-namespace NAME        namespace of the leader's Lease (default: default)
  --lease-name NAME             name of the leader's Lease (default: etcdlike-operator)
  --member-image-repository R   image of members whose cluster names none (default: etcdlike)
  --listen HOST:PORT            for /livez, /readyz and /metrics (default: 0.0.0.0:8080)
  --workers N                   clusters worked on at a time, 1 to 64 (default: 4)
`;

/** Throws an Error that names the flag, its value and what was expected. */
export function settingsOf(argv: readonly string[]): OperatorSettings {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      namespaces: { type: "string", default: "" },
      "lease-namespace": { type: "string", default: "default" },
      "lease-name": { type: "string", default: "etcdlike-operator" },
      "member-image-repository": { type: "string", default: "etcdlike" },
      listen: { type: "string", default: "0.0.0.0:8080" },
      workers: { type: "string", default: "4" },
    },
  });
  const listen = /^(.+):(\d{1,5})$/.exec(values.listen);
  if (listen?.[1] === undefined || listen[2] === undefined || Number(listen[2]) > 65_535) {
    throw new Error(`--listen is HOST:PORT, got ${JSON.stringify(values.listen)}`);
  }
  const workers = Number(values.workers);
  if (!Number.isInteger(workers) || workers < 1 || workers > 64) {
    throw new Error(`--workers is a number from 1 to 64, got ${JSON.stringify(values.workers)}`);
  }
  return {
    namespaces: values.namespaces.split(",").filter((name) => name !== ""),
    leaseNamespace: values["lease-namespace"],
    leaseName: values["lease-name"],
    memberImageRepository: values["member-image-repository"],
    listenHost: listen[1],
    listenPort: Number(listen[2]),
    workers,
  };
}
