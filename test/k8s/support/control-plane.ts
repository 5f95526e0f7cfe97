// A Kubernetes control plane for one test file: a real kube-apiserver over a real etcd, and on request the
// controller manager, whose garbage collector and disruption controller tests need. Everything listens on
// loopback, lives in a temporary folder and goes away with `stop`.
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort } from "../../e2e/support/scratch.ts";
import { type Background, startInBackground } from "../../tools/background.ts";
import { type Member, start } from "../../tools/member.ts";
import { toolPath } from "../../tools/toolchain.ts";

export interface ControlPlane {
  readonly folder: string;
  readonly server: string;
  readonly port: number;
  /** The certificate authority's certificate, PEM. */
  readonly ca: string;
  /** Of a user in system:masters. */
  readonly adminKubeconfig: string;
  /** Writes a kubeconfig for another server address (a proxy's) or token; returns its path. */
  kubeconfig(name: string, options?: { readonly server?: string; readonly token?: string }): Promise<string>;
  /** What a user asked for, as "VERB GROUP/RESOURCE", and the answers' codes; with `withAudit` only. */
  auditOf(user: string): readonly AuditedRequest[];
  /** Kills it: asked to stop, it would first wait for everybody's watches to end. */
  killApiServer(): Promise<void>;
  startApiServer(): Promise<void>;
  /** SIGSTOP and SIGCONT to the API server: connections stay, nothing answers. */
  freezeApiServer(): void;
  thawApiServer(): void;
  stop(): Promise<void>;
}

export interface AuditedRequest {
  readonly request: string;
  readonly code: number;
}

const readyTimeoutMs = 120_000;

/** A store that runs already, in the place of a real etcd. */
export interface GivenStorage {
  /** What kube-apiserver is told about it. */
  readonly flags: readonly string[];
  /** Knows the names of its members: the content of kube-apiserver's resolv.conf. */
  readonly resolverConfig: string;
}

export interface ControlPlaneOptions {
  readonly withControllers?: boolean;
  readonly withAudit?: boolean;
  readonly storage?: GivenStorage;
}

export async function startControlPlane(options: ControlPlaneOptions = {}): Promise<ControlPlane> {
  const folder = await mkdtemp(join(tmpdir(), "etcdlike-k8s-"));
  const port = await freePort();
  const server = `https://127.0.0.1:${port}`;
  const tokens = { admin: randomToken(), controllers: randomToken() };
  await mkdir(join(folder, "certs"));
  await writeServiceAccountKeys(folder);
  await writeFile(
    join(folder, "tokens.csv"),
    [
      `${tokens.admin},admin,admin,"system:masters"`,
      `${tokens.controllers},system:kube-controller-manager,controllers,"system:masters"`,
      "",
    ].join("\n"),
  );

  const auditPolicy = join(folder, "audit-policy.json");
  const auditLog = join(folder, "audit.log");
  await writeFile(
    auditPolicy,
    JSON.stringify({
      apiVersion: "audit.k8s.io/v1",
      kind: "Policy",
      rules: [{ level: "Metadata", omitStages: ["RequestReceived"] }],
    }),
  );

  const own: Member | undefined = options.storage === undefined ? await start({ kind: "etcd" }) : undefined;
  const storageFlags = options.storage?.flags ?? [`--etcd-servers=${own?.clientUrl}`];
  const [program, ...before] = await apiServerCommand(folder, options.storage);
  let apiServer: Background | undefined;
  let controllers: Background | undefined;

  const startApiServer = async () => {
    apiServer = startInBackground(
      program,
      [
        ...before,
        ...storageFlags,
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        `--secure-port=${port}`,
        `--cert-dir=${join(folder, "certs")}`,
        `--token-auth-file=${join(folder, "tokens.csv")}`,
        "--authorization-mode=RBAC",
        "--service-cluster-ip-range=10.96.0.0/16",
        "--service-account-issuer=https://kubernetes.default.svc",
        `--service-account-key-file=${join(folder, "sa.pub")}`,
        `--service-account-signing-key-file=${join(folder, "sa.key")}`,
        "--endpoint-reconciler-type=none",
        ...(options.withAudit === true
          ? [
              `--audit-policy-file=${auditPolicy}`,
              `--audit-log-path=${auditLog}`,
              "--audit-log-mode=blocking",
            ]
          : []),
      ],
      { logFile: join(folder, "kube-apiserver.log") },
    );
    await untilReady(server, tokens.admin, apiServer);
  };
  const stop = async () => {
    await controllers?.stop();
    await apiServer?.kill();
    await own?.stop();
    await rm(folder, { recursive: true, force: true });
  };
  const kubeconfig: ControlPlane["kubeconfig"] = async (name, given = {}) => {
    const file = join(folder, `${name}.kubeconfig`);
    await writeFile(
      file,
      kubeconfigText({
        server: given.server ?? server,
        token: given.token ?? tokens.admin,
        ca: await readFile(join(folder, "certs", "apiserver.crt"), "utf8"),
      }),
      { mode: 0o600 },
    );
    return file;
  };

  try {
    await startApiServer();
    const adminKubeconfig = await kubeconfig("admin");
    if (options.withControllers === true) {
      controllers = startInBackground(
        await toolPath("kube-controller-manager"),
        [
          `--kubeconfig=${await kubeconfig("controllers", { token: tokens.controllers })}`,
          "--leader-elect=false",
          "--secure-port=0",
          `--service-account-private-key-file=${join(folder, "sa.key")}`,
          `--root-ca-file=${join(folder, "certs", "apiserver.crt")}`,
          "--concurrent-gc-syncs=2",
        ],
        { logFile: join(folder, "kube-controller-manager.log") },
      );
    }
    return {
      folder,
      server,
      port,
      ca: await readFile(join(folder, "certs", "apiserver.crt"), "utf8"),
      adminKubeconfig,
      kubeconfig,
      auditOf: (user) => auditedRequests(auditLog, user),
      async killApiServer() {
        await apiServer?.kill();
      },
      startApiServer,
      freezeApiServer: () => apiServer?.signal("SIGSTOP"),
      thawApiServer: () => apiServer?.signal("SIGCONT"),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** With a resolver of its own it gets a mount namespace of its own: it reads the one file that everybody reads. */
async function apiServerCommand(
  folder: string,
  storage: GivenStorage | undefined,
): Promise<readonly [string, ...string[]]> {
  const path = await toolPath("kube-apiserver");
  if (storage === undefined) return [path];
  const file = join(folder, "resolv.conf");
  await writeFile(file, storage.resolverConfig);
  const script = 'mount --bind "$0" /etc/resolv.conf && exec "$@"';
  return ["unshare", "--mount", "sh", "-c", script, file, path];
}

interface AuditLine {
  readonly verb: string;
  readonly user: { readonly username: string };
  readonly objectRef?: {
    readonly apiGroup?: string;
    readonly resource: string;
    readonly subresource?: string;
  };
  readonly responseStatus?: { readonly code: number };
}

function auditedRequests(file: string, user: string): AuditedRequest[] {
  return readFileSync(file, "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as AuditLine)
    .flatMap(({ verb, user: { username }, objectRef, responseStatus }) => {
      if (username !== user || objectRef === undefined) return [];
      const { apiGroup = "", resource, subresource } = objectRef;
      const name = `${apiGroup}/${resource}${subresource === undefined ? "" : `/${subresource}`}`;
      return [{ request: `${verb} ${name}`, code: responseStatus?.code ?? 0 }];
    });
}

function randomToken(): string {
  return randomBytes(16).toString("hex");
}

async function writeServiceAccountKeys(folder: string): Promise<void> {
  const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  await writeFile(join(folder, "sa.key"), privateKey.export({ type: "pkcs8", format: "pem" }), {
    mode: 0o600,
  });
  await writeFile(join(folder, "sa.pub"), publicKey.export({ type: "spki", format: "pem" }));
}

export function kubeconfigText(of: {
  readonly server: string;
  readonly token: string;
  readonly ca: string;
}): string {
  return JSON.stringify({
    apiVersion: "v1",
    kind: "Config",
    clusters: [
      {
        name: "bed",
        cluster: { server: of.server, "certificate-authority-data": Buffer.from(of.ca).toString("base64") },
      },
    ],
    users: [{ name: "user", user: { token: of.token } }],
    contexts: [{ name: "bed", context: { cluster: "bed", user: "user" } }],
    "current-context": "bed",
  });
}

/** Waits for /readyz. The certificate is not checked: the server writes it only now. */
async function untilReady(server: string, token: string, apiServer: Background): Promise<void> {
  const deadline = performance.now() + readyTimeoutMs;
  let last = "no answer";
  while (performance.now() < deadline) {
    if (!apiServer.isRunning()) break;
    last = await new Promise<string>((resolve) => {
      const call = request(
        `${server}/readyz`,
        {
          rejectUnauthorized: false,
          headers: { authorization: `Bearer ${token}` },
          agent: false,
          timeout: 5_000,
        },
        (response) => {
          response.resume();
          response.on("close", () => resolve(String(response.statusCode)));
        },
      );
      call.on("timeout", () => call.destroy(new Error("no answer within 5 s")));
      call.on("error", (error) => resolve(error.message));
      call.end();
    });
    if (last === "200") return;
    await sleep(100);
  }
  throw new Error(`kube-apiserver is not ready (${last}); the end of its log:\n${apiServer.tail()}`);
}
