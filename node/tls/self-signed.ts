// `--auto-tls` and `--peer-auto-tls`: a pair of the member's own, made once and kept in its data directory.

import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import type { Logger } from "../lib/log.ts";
import { makeSelfSigned } from "./certificates.ts";

export interface SelfSignedFiles {
  readonly certFile: string;
  readonly keyFile: string;
}

export async function selfSignedFiles(
  folder: string,
  hosts: readonly string[],
  validityYears: number,
  log: Logger,
): Promise<SelfSignedFiles> {
  const files = { certFile: `${folder}/cert.pem`, keyFile: `${folder}/key.pem` };
  if (existsSync(files.certFile) && existsSync(files.keyFile)) return files;
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const { certPem, keyPem } = await makeSelfSigned(hosts, validityYears);
  writeFileSync(files.keyFile, keyPem, { mode: 0o600 });
  writeFileSync(files.certFile, certPem, { mode: 0o600 });
  log.warn("automatically generate certificates", { "cert-file": files.certFile, hosts });
  return files;
}
