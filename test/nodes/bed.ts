// A Kubernetes cluster of three nodes on this machine: a control plane beside a bridge, and for every node a network
// namespace with its own containerd, kubelet and kube-proxy. Needs root. All of its state is in one folder, and a
// file there lists every process, so that another process can take it down.
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { access, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort } from "../e2e/support/scratch.ts";
import { kubeconfigText } from "../k8s/support/control-plane.ts";
import { type Background, startInBackground } from "../tools/background.ts";
import { debianTool } from "../tools/debian.ts";
import { kubernetesTool } from "../tools/kubectl-helm.ts";
import { toolPath } from "../tools/toolchain.ts";
import { buildImages, images } from "./images.ts";
import { attempt, run } from "./shell.ts";

export const bedFolder = "/var/tmp/etcdlike-bed";
export const adminKubeconfig = join(bedFolder, "admin.kubeconfig");
const etcdUrlFile = join(bedFolder, "etcd.url");
const bridge = "elbed0";
export const gateway = "172.30.0.1";
const apiPort = 6443;
const apiServerUrl = `https://${gateway}:${apiPort}`;
const podRange = "10.244.0.0/16";
const serviceRange = "10.96.0.0/16";
/** Where the controller manager's host-path provisioner puts volumes. */
const volumesFolder = "/tmp/hostpath_pv";

export interface BedNode {
  readonly name: string;
  readonly index: number;
  readonly address: string;
  readonly podRange: string;
  readonly folder: string;
}

export const nodes: readonly BedNode[] = [1, 2, 3].map((index) => ({
  name: `elnode${index}`,
  index,
  address: `172.30.0.${10 + index}`,
  podRange: `10.244.${index}.0/24`,
  folder: join(bedFolder, `elnode${index}`),
}));

/** The user that members run as. */
const memberUser = 65_532;
const cgroupRoot = "/sys/fs/cgroup";
const readyTimeoutMs = 180_000;

export async function bedUp(): Promise<void> {
  if (await exists(bedFolder))
    throw new Error(`${bedFolder} exists: take the old bed down first, npm run k8s:down`);
  const archives = await prepareBed();
  await mkdir(bedFolder, { recursive: true });
  try {
    await makeNetwork();
    await startControl();
    for (const node of nodes) await startNode(node, archives);
    await untilNodesReady();
  } catch (error) {
    await bedDown();
    throw error;
  }
}

/** Everything the bed is made of, which takes minutes where nothing is there yet; returns the images' archives. */
export async function prepareBed(): Promise<readonly string[]> {
  for (const tool of ["containerd", "runc", "cni", "ip", "iptables", "conntrack"]) await debianTool(tool);
  for (const tool of ["kubectl", "helm"] as const) await kubernetesTool(tool);
  for (const tool of ["etcd", "kube-apiserver", "kubelet", "coredns"]) await toolPath(tool);
  return buildImages();
}

// ---- Network ----

async function makeNetwork(): Promise<void> {
  await run("ip", "link", "add", bridge, "type", "bridge");
  await run("ip", "addr", "add", `${gateway}/24`, "dev", bridge);
  await run("ip", "link", "set", bridge, "up");
  await writeFile("/proc/sys/net/ipv4/ip_forward", "1");
  for (const node of nodes) {
    const [outer, inner] = [`${node.name}h`, `${node.name}n`];
    await run("ip", "netns", "add", node.name);
    await run("ip", "link", "add", outer, "type", "veth", "peer", "name", inner);
    await run("ip", "link", "set", outer, "master", bridge, "up");
    await run("ip", "link", "set", inner, "netns", node.name);
    await run("ip", "-n", node.name, "link", "set", "lo", "up");
    await run("ip", "-n", node.name, "addr", "add", `${node.address}/24`, "dev", inner);
    await run("ip", "-n", node.name, "link", "set", inner, "up");
    await run("ip", "-n", node.name, "route", "add", "default", "via", gateway);
    await run("ip", "netns", "exec", node.name, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward");
    await run("ip", "route", "add", node.podRange, "via", node.address);
    for (const other of nodes) {
      if (other === node) continue;
      await run("ip", "-n", node.name, "route", "add", other.podRange, "via", other.address);
    }
  }
}

// ---- Processes ----

async function background(name: string, command: string, args: readonly string[]): Promise<Background> {
  const started = startInBackground(command, args, {
    logFile: join(bedFolder, `${name}.log`),
    isDetached: true,
  });
  await writeFile(join(bedFolder, `${name}.pid`), String(started.pid));
  return started;
}

/** Into a node's network namespace and nothing else of it: `ip netns exec` would hide the control groups. */
function inside(
  node: BedNode,
  command: string,
  args: readonly string[],
): readonly [string, readonly string[]] {
  return ["nsenter", [`--net=/run/netns/${node.name}`, command, ...args]];
}

async function startControl(): Promise<void> {
  const etcdPort = await freePort();
  const etcdUrl = `http://127.0.0.1:${etcdPort}`;
  await background("etcd", await toolPath("etcd"), [
    ...["--name=bed", `--data-dir=${join(bedFolder, "etcd")}`, "--unsafe-no-fsync"],
    ...[`--listen-client-urls=${etcdUrl}`, `--advertise-client-urls=${etcdUrl}`],
    ...[`--listen-peer-urls=http://127.0.0.1:${await freePort()}`],
  ]);
  await writeFile(etcdUrlFile, etcdUrl);
  const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  await writeFile(join(bedFolder, "sa.key"), privateKey.export({ type: "pkcs8", format: "pem" }), {
    mode: 0o600,
  });
  await writeFile(join(bedFolder, "sa.pub"), publicKey.export({ type: "spki", format: "pem" }));
  const users = [
    { name: "admin", user: "admin", groups: "system:masters" },
    { name: "controllers", user: "system:kube-controller-manager", groups: "system:masters" },
    { name: "scheduler", user: "system:kube-scheduler", groups: "" },
    { name: "proxy", user: "system:kube-proxy", groups: "" },
    { name: "dns", user: "bed:dns", groups: "system:masters" },
    ...nodes.map((node) => ({ name: node.name, user: `system:node:${node.name}`, groups: "system:nodes" })),
  ].map((user) => ({ ...user, token: randomBytes(16).toString("hex") }));
  const lines = users.map(({ token, user, groups }) => `${token},${user},${user},"${groups}"`);
  await writeFile(join(bedFolder, "tokens.csv"), `${lines.join("\n")}\n`, { mode: 0o600 });

  const apiServer = await background("kube-apiserver", await toolPath("kube-apiserver"), [
    ...[`--etcd-servers=${etcdUrl}`, "--bind-address=0.0.0.0", `--advertise-address=${gateway}`],
    ...[`--secure-port=${apiPort}`, `--cert-dir=${join(bedFolder, "certs")}`],
    ...[`--token-auth-file=${join(bedFolder, "tokens.csv")}`, "--authorization-mode=Node,RBAC"],
    ...["--allow-privileged=true", "--kubelet-preferred-address-types=InternalIP"],
    ...[
      `--service-cluster-ip-range=${serviceRange}`,
      "--service-account-issuer=https://kubernetes.default.svc",
    ],
    ...[`--service-account-key-file=${join(bedFolder, "sa.pub")}`],
    ...[`--service-account-signing-key-file=${join(bedFolder, "sa.key")}`],
  ]);
  const certificate = join(bedFolder, "certs", "apiserver.crt");
  await until("the API server's certificate", apiServer, () => exists(certificate));
  const ca = await readFile(certificate, "utf8");
  for (const { name, token } of users) {
    const text = kubeconfigText({ server: apiServerUrl, token, ca });
    await writeFile(join(bedFolder, `${name}.kubeconfig`), text, { mode: 0o600 });
  }
  await until(
    "the API server",
    apiServer,
    async () => (await kubectl("get", "--raw=/readyz").catch(() => "")) === "ok",
  );

  await background("kube-controller-manager", await toolPath("kube-controller-manager"), [
    ...[
      `--kubeconfig=${join(bedFolder, "controllers.kubeconfig")}`,
      "--leader-elect=false",
      "--secure-port=0",
    ],
    ...[`--service-account-private-key-file=${join(bedFolder, "sa.key")}`, `--root-ca-file=${certificate}`],
    ...["--enable-hostpath-provisioner=true", "--node-monitor-grace-period=16s"],
  ]);
  // The provisioner makes folders that only root may enter, and fsGroup does not reach host paths.
  const handOver = `while sleep 0.3; do chown ${memberUser}:${memberUser} ${volumesFolder}/*/ 2>/dev/null; done`;
  await background("volume-owner", "sh", ["-c", handOver]);
  await background("kube-scheduler", await toolPath("kube-scheduler"), [
    ...[`--kubeconfig=${join(bedFolder, "scheduler.kubeconfig")}`, "--leader-elect=false", "--secure-port=0"],
  ]);
  await writeFile(
    join(bedFolder, "Corefile"),
    `.:53 {
  bind ${gateway}
  errors
  kubernetes cluster.local in-addr.arpa {
    kubeconfig ${join(bedFolder, "dns.kubeconfig")}
    ttl 5
  }
}
`,
  );
  await background("coredns", await toolPath("coredns"), ["-conf", join(bedFolder, "Corefile")]);
  await kubectlApply({
    apiVersion: "storage.k8s.io/v1",
    kind: "StorageClass",
    metadata: { name: "bed", annotations: { "storageclass.kubernetes.io/is-default-class": "true" } },
    provisioner: "kubernetes.io/host-path",
  });
}

async function startNode(node: BedNode, archives: readonly string[]): Promise<void> {
  await mkdir(join(node.folder, "cni"), { recursive: true });
  const socket = join(node.folder, "containerd.sock");
  await writeFile(join(node.folder, "containerd.toml"), containerdConfig(node, socket));
  await writeFile(join(node.folder, "cni", "10-bed.conflist"), JSON.stringify(cniConfig(node)));
  const containerd = await background(
    `${node.name}-containerd`,
    ...inside(node, await debianTool("containerd"), ["--config", join(node.folder, "containerd.toml")]),
  );
  await until("containerd", containerd, async () => (await attempt("ctr", "-a", socket, "version")) !== "");
  for (const archive of archives) {
    await run("ctr", "-a", socket, "-n", "k8s.io", "images", "import", "--no-unpack", archive);
  }

  // Below a root of its own in every controller: kubelets that share one delete each other's Pods.
  for (const controller of await readdir(cgroupRoot)) {
    const folder = join(cgroupRoot, controller, node.name);
    await mkdir(folder, { recursive: true });
    if (controller !== "cpuset") continue;
    for (const file of ["cpuset.cpus", "cpuset.mems"]) {
      await writeFile(join(folder, file), await readFile(join(cgroupRoot, controller, file)));
    }
  }
  await writeFile(join(node.folder, "kubelet.json"), JSON.stringify(kubeletConfig(node, socket)));
  await background(
    `${node.name}-kubelet`,
    ...inside(node, await toolPath("kubelet"), [
      `--config=${join(node.folder, "kubelet.json")}`,
      `--kubeconfig=${join(bedFolder, `${node.name}.kubeconfig`)}`,
      `--root-dir=${join(node.folder, "kubelet")}`,
      `--cert-dir=${join(node.folder, "certs")}`,
      `--hostname-override=${node.name}`,
      `--node-ip=${node.address}`,
      `--node-labels=topology.kubernetes.io/zone=zone-${node.index}`,
    ]),
  );
  await writeFile(
    join(node.folder, "proxy.json"),
    JSON.stringify({
      apiVersion: "kubeproxy.config.k8s.io/v1alpha1",
      kind: "KubeProxyConfiguration",
      clientConnection: { kubeconfig: join(bedFolder, "proxy.kubeconfig") },
      clusterCIDR: podRange,
      mode: "iptables",
      hostnameOverride: node.name,
      healthzBindAddress: "127.0.0.1:10256",
      metricsBindAddress: "127.0.0.1:10249",
      conntrack: { maxPerCore: 0, min: 0, tcpEstablishedTimeout: "0s", tcpCloseWaitTimeout: "0s" },
    }),
  );
  await background(
    `${node.name}-kube-proxy`,
    ...inside(node, await toolPath("kube-proxy"), [`--config=${join(node.folder, "proxy.json")}`]),
  );
}

function containerdConfig(node: BedNode, socket: string): string {
  return `version = 2
root = "${join(node.folder, "containerd")}"
state = "${join(node.folder, "containerd-state")}"
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs"]
[grpc]
  address = "${socket}"
[plugins."io.containerd.internal.v1.opt"]
  path = "${join(node.folder, "opt")}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${images.pause}"
  restrict_oom_score_adj = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "${join(node.folder, "cni")}"
`;
}

function cniConfig(node: BedNode): object {
  return {
    cniVersion: "0.4.0",
    name: "bed",
    plugins: [
      {
        type: "bridge",
        bridge: "cni0",
        isGateway: true,
        ipMasq: false,
        hairpinMode: true,
        ipam: {
          type: "host-local",
          dataDir: join(node.folder, "ipam"),
          ranges: [[{ subnet: node.podRange }]],
          routes: [{ dst: "0.0.0.0/0" }],
        },
      },
    ],
  };
}

function kubeletConfig(node: BedNode, socket: string): object {
  return {
    apiVersion: "kubelet.config.k8s.io/v1beta1",
    kind: "KubeletConfiguration",
    containerRuntimeEndpoint: `unix://${socket}`,
    podLogsDir: join(node.folder, "pod-logs"),
    address: node.address,
    authentication: { anonymous: { enabled: true }, webhook: { enabled: false } },
    authorization: { mode: "AlwaysAllow" },
    cgroupDriver: "cgroupfs",
    cgroupRoot: `/${node.name}`,
    failSwapOn: false,
    failCgroupV1: false,
    enforceNodeAllocatable: [],
    imageGCHighThresholdPercent: 100,
    imageGCLowThresholdPercent: 99,
    evictionHard: { "nodefs.available": "1%", "imagefs.available": "1%", "memory.available": "100Mi" },
    clusterDNS: [gateway],
    clusterDomain: "cluster.local",
    resolvConf: "",
    nodeStatusUpdateFrequency: "4s",
    nodeLeaseDurationSeconds: 16,
    volumePluginDir: join(node.folder, "volume-plugins"),
  };
}

async function untilNodesReady(): Promise<void> {
  await until("three Ready nodes", undefined, async () => {
    const text = await kubectl("get", "nodes", "--no-headers").catch(() => "");
    return text.split("\n").filter((line) => / Ready /.test(line)).length === nodes.length;
  });
}

/** SIGKILL to the process of a container, which the kubelet starts again. */
export async function killContainer(node: BedNode, id: string): Promise<void> {
  await run("ctr", ...ctrFlags(node), "tasks", "kill", "-s", "SIGKILL", id);
}

function ctrFlags(node: BedNode): readonly string[] {
  return ["-a", join(node.folder, "containerd.sock"), "-n", "k8s.io"];
}

/** Its link is cut and its kubelet ends: nothing of it answers, and nothing of it is told to stop. */
export async function loseNode(node: BedNode): Promise<void> {
  await run("ip", "link", "set", `${node.name}h`, "down");
  await end(`${node.name}-kubelet.pid`);
}

/** The control plane's own etcd. */
export function bedEtcdUrl(): Promise<string> {
  return readFile(etcdUrlFile, "utf8");
}

// ---- Down ----

/** Takes down whatever there is of it; may be called again. */
export async function bedDown(): Promise<void> {
  if (await exists(bedFolder)) {
    await attempt(
      await kubernetesTool("kubectl"),
      "--kubeconfig",
      adminKubeconfig,
      "delete",
      "elc",
      "--all",
      "-A",
      "--wait=false",
      "--request-timeout=10s",
    );
    const pids = (await readdir(bedFolder)).filter((name) => name.endsWith(".pid"));
    const of = (part: string) => pids.filter((name) => name.includes(part));
    // Kubelets first, so that nothing is started again; containerd after its containers.
    for (const name of pids.filter((one) => !one.includes("containerd"))) await end(name);
    for (const node of nodes) await endContainers(node);
    for (const name of of("containerd")) await end(name);
  }
  await endShims();
  for (const node of nodes) {
    await attempt("ip", "netns", "delete", node.name);
    await attempt("ip", "link", "delete", `${node.name}h`);
  }
  await attempt("ip", "link", "delete", bridge);
  await unmountBelow(bedFolder);
  for (const node of nodes) await removeCgroups(node);
  await rm(bedFolder, { recursive: true, force: true });
  await rm(volumesFolder, { recursive: true, force: true });
}

async function end(pidFile: string): Promise<void> {
  const pid = Number(await readFile(join(bedFolder, pidFile), "utf8"));
  for (const signal of ["SIGTERM", "SIGKILL"] as const) {
    try {
      process.kill(pid, signal);
    } catch {
      // It has ended, which is what was wanted.
      return;
    }
    for (let i = 0; i < 50 && (await exists(`/proc/${pid}`)); i++) await sleep(100);
  }
}

async function endContainers(node: BedNode): Promise<void> {
  const ctr = ctrFlags(node);
  const tasks = (await attempt("ctr", ...ctr, "tasks", "list", "-q")).split("\n").filter((id) => id !== "");
  for (const id of tasks) await attempt("ctr", ...ctr, "tasks", "kill", "-s", "SIGKILL", id);
  for (const id of tasks) await attempt("ctr", ...ctr, "tasks", "delete", "--force", id);
  const containers = (await attempt("ctr", ...ctr, "containers", "list", "-q"))
    .split("\n")
    .filter((id) => id !== "");
  for (const id of containers) {
    // The network namespace of a Pod is nobody's once its sandbox is gone.
    const info = await attempt("ctr", ...ctr, "containers", "info", id);
    const namespace = /\/run\/netns\/(cni-[0-9a-f-]+)/.exec(info)?.[1];
    await attempt("ctr", ...ctr, "containers", "delete", id);
    if (namespace !== undefined) await attempt("ip", "netns", "delete", namespace);
  }
}

/** Of containers whose start was cut short containerd knows nothing; their shims would live on. */
async function endShims(): Promise<void> {
  for (const pid of (await readdir("/proc")).filter((name) => /^\d+$/.test(name))) {
    const words = (await readFile(join("/proc", pid, "cmdline"), "utf8").catch(() => "")).split("\0");
    const isOurs = words.some(
      (word) => word.startsWith(`${bedFolder}/`) && word.endsWith("/containerd.sock"),
    );
    if (isOurs && words[0]?.includes("containerd-shim") === true) await attempt("kill", "-KILL", pid);
  }
}

async function unmountBelow(folder: string): Promise<void> {
  const points = (await readFile("/proc/self/mounts", "utf8"))
    .split("\n")
    .map((line) => line.split(" ")[1] ?? "")
    .filter((point) => point.startsWith(`${folder}/`));
  for (const point of points.reverse()) await attempt("umount", "--lazy", point);
}

async function removeCgroups(node: BedNode): Promise<void> {
  for (const controller of await readdir(cgroupRoot)) {
    const folder = join(cgroupRoot, controller, node.name);
    if (await exists(folder))
      await attempt("find", folder, "-depth", "-type", "d", "-exec", "rmdir", "{}", ";");
  }
}

// ---- Helpers ----

async function kubectl(...args: readonly string[]): Promise<string> {
  return run(await kubernetesTool("kubectl"), "--kubeconfig", adminKubeconfig, ...args);
}

async function kubectlApply(object: object): Promise<void> {
  const file = join(bedFolder, "object.json");
  await writeFile(file, JSON.stringify(object));
  await kubectl("apply", "-f", file);
}

async function until(
  what: string,
  running: Background | undefined,
  ask: () => Promise<boolean>,
): Promise<void> {
  const deadline = performance.now() + readyTimeoutMs;
  while (!(await ask())) {
    if (running !== undefined && !running.isRunning())
      throw new Error(`${what}: it ended:\n${running.tail()}`);
    if (performance.now() > deadline) {
      throw new Error(`not within ${readyTimeoutMs / 1000} s: ${what}\n${running?.tail() ?? ""}`);
    }
    await sleep(200);
  }
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
