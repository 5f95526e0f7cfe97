// Programs taken from Debian packages: an old etcdctl, and h2load.
import { spawn } from "node:child_process";
import { access } from "node:fs/promises";
import { must } from "../../node/lib/assert.ts";
import { exclusively } from "./lock.ts";

const programs: Readonly<Record<string, { readonly path: string; readonly debianPackage: string }>> = {
  "etcdctl-3.4": { path: "/usr/bin/etcdctl", debianPackage: "etcd-client" },
  unzip: { path: "/usr/bin/unzip", debianPackage: "unzip" },
  buildah: { path: "/usr/bin/buildah", debianPackage: "buildah" },
  debootstrap: { path: "/usr/sbin/debootstrap", debianPackage: "debootstrap" },
  busybox: { path: "/bin/busybox", debianPackage: "busybox-static" },
  containerd: { path: "/usr/bin/containerd", debianPackage: "containerd" },
  runc: { path: "/usr/sbin/runc", debianPackage: "runc" },
  cni: { path: "/usr/lib/cni/bridge", debianPackage: "containernetworking-plugins" },
  ip: { path: "/usr/sbin/ip", debianPackage: "iproute2" },
  iptables: { path: "/usr/sbin/iptables", debianPackage: "iptables" },
  conntrack: { path: "/usr/sbin/conntrack", debianPackage: "conntrack" },
  h2load: { path: "/usr/bin/h2load", debianPackage: "nghttp2-client" },
};

/** The path of a program from Debian, installed by apt-get when it is missing. */
export async function debianTool(name: string): Promise<string> {
  const program = must(programs[name], "the Debian program is known", { name });
  if (await exists(program.path)) return program.path;
  const installed = await exclusively(
    "apt-get",
    async () =>
      (await aptGet(["install", program.debianPackage])) ||
      ((await aptGet(["update"])) && (await aptGet(["install", program.debianPackage]))),
  );
  if (installed && (await exists(program.path))) return program.path;
  throw new Error(
    `${name} is missing: install the Debian package ${program.debianPackage} (apt-get, as root)`,
  );
}

function aptGet(args: readonly string[]): Promise<boolean> {
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  return new Promise((resolve) => {
    const options = ["-qq", "-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=120"];
    const child = spawn("apt-get", [...options, ...args], { env, stdio: ["ignore", "ignore", "inherit"] });
    child.on("error", () => resolve(false));
    child.on("close", (code) => resolve(code === 0));
  });
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
