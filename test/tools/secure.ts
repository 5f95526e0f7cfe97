// A further client listener over TLS for a member of a test, with a certificate made for the run.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Authority } from "../../node/tls/testing/authority.ts";
import { freePorts, type Member } from "./member.ts";

export interface SecureListener {
  readonly ports: Member["ports"];
  /** Let the member listen on its own client port in clear text and on `url` over TLS. */
  readonly flags: readonly string[];
  readonly url: string;
  readonly port: number;
  /** Removes the certificate. */
  remove(): Promise<void>;
}

export async function secureListener(): Promise<SecureListener> {
  const folder = await mkdtemp(join(tmpdir(), "secure-test-"));
  const authority = await Authority.create(folder);
  const pair = await authority.issue({ name: "server", hosts: ["127.0.0.1", "localhost"] });
  const ports = await freePorts();
  const { client: port } = await freePorts();
  const plainUrl = `http://127.0.0.1:${ports.client}`;
  const url = `https://127.0.0.1:${port}`;
  return {
    ports,
    flags: [
      ...["--listen-client-urls", `${plainUrl},${url}`, "--advertise-client-urls", plainUrl],
      ...["--cert-file", pair.certFile, "--key-file", pair.keyFile],
    ],
    url,
    port,
    remove: () => rm(folder, { recursive: true, force: true }),
  };
}
