// Makes what a decision about certificates demands. The key of an authority is read here and goes nowhere else.
import { annotations, apiVersion, labels, resources } from "../api/group.ts";
import type { CertificateAction } from "../control/action.ts";
import { authorityValidityMs, certificateValidityMs } from "../control/certificates.ts";
import { fieldManager, isStatus, type KubeClient, patchTypes } from "../kube/client.ts";
import { kinds, type OwnerReference, resourcePath } from "../kube/objects.ts";
import { must, never } from "../lib/assert.ts";
import { secondTime } from "../lib/time.ts";
import { noteOf } from "../model/certificates.ts";
import type { Plane } from "../model/names.ts";
import type { Observation } from "../model/observation.ts";
import { authoritySecretNameOf } from "../model/tls-names.ts";
import type { Pair, Pki } from "../pki/port.ts";
import { nextCert, nextKey, type Secret, textOf } from "./secrets.ts";

export interface IssuePorts {
  readonly client: KubeClient;
  readonly pki: Pki;
}

/** Clocks differ: what is made is valid a little before now. */
const skewMs = 3_600_000;

/** False when the Secret is another than was seen: nothing was done, and it is decided again. */
export async function issue(
  ports: IssuePorts,
  observation: Observation,
  action: CertificateAction,
): Promise<boolean> {
  switch (action.kind) {
    case "CreateAuthority":
      return createAuthority(ports, observation, action);
    case "RotateAuthority":
      return rotateAuthority(ports, observation, action);
    case "IssueCertificate":
      return issueCertificate(ports, observation, action);
    case "UpdateTrust": {
      const authority = await readAuthority(ports, observation, action.plane);
      return patch(ports, observation, action, { "ca.crt": textOf(authority, "ca.crt") });
    }
    default:
      return never(action);
  }
}

async function createAuthority(
  ports: IssuePorts,
  observation: Observation,
  { plane, request }: CertificateAction & { kind: "CreateAuthority" },
): Promise<boolean> {
  const { certPem, keyPem } = await newAuthority(ports, observation, plane);
  return create(ports, observation, {
    name: authoritySecretNameOf(observation.cluster, plane),
    owner: clusterOwner(observation),
    notes: {
      ...notesOf(observation, request),
      [annotations.authorityPhase]: "Steady",
    },
    data: { "tls.crt": certPem, "tls.key": keyPem, "ca.crt": certPem },
  });
}

async function rotateAuthority(
  ports: IssuePorts,
  observation: Observation,
  action: CertificateAction & { kind: "RotateAuthority" },
): Promise<boolean> {
  const { plane, to, resourceVersion, request } = action;
  const name = authoritySecretNameOf(observation.cluster, plane);
  const notes = { [annotations.authorityPhase]: to, ...notesOf(observation, request) };
  const write = (data: Readonly<Record<string, string | undefined>>) =>
    patch(ports, observation, { name, resourceVersion }, data, notes);
  const authority = await readAuthority(ports, observation, plane);
  const file = (key: string) => must(textOf(authority, key), "an authority is read whole", { name, key });
  switch (to) {
    case "Introducing": {
      const next = await newAuthority(ports, observation, plane);
      const trusted = file("tls.crt") + next.certPem;
      return write({ [nextCert]: next.certPem, [nextKey]: next.keyPem, "ca.crt": trusted });
    }
    case "Retiring":
      return write({
        "tls.crt": file(nextCert),
        "tls.key": file(nextKey),
        [nextCert]: undefined,
        [nextKey]: undefined,
      });
    case "Steady":
      return write({ "ca.crt": file("tls.crt") });
    default:
      return never(to);
  }
}

async function issueCertificate(
  ports: IssuePorts,
  observation: Observation,
  action: CertificateAction & { kind: "IssueCertificate" },
): Promise<boolean> {
  const { plane, name, commonName, hosts, resourceVersion, request, member } = action;
  const authority = await readAuthority(ports, observation, plane);
  const certPem = must(textOf(authority, "tls.crt"), "an authority that signs has a certificate", { name });
  const keyPem = must(textOf(authority, "tls.key"), "an authority that signs has a key", { name });
  const endMs = observation.secrets.find(
    (one) => one.name === authoritySecretNameOf(observation.cluster, plane),
  )?.certificate?.notAfterMs;
  const pair = await ports.pki.issue(
    { certPem, keyPem },
    {
      commonName,
      hosts,
      notBeforeMs: observation.nowMs - skewMs,
      notAfterMs: Math.min(observation.nowMs + certificateValidityMs, endMs ?? Number.POSITIVE_INFINITY),
    },
  );
  const data = {
    "tls.crt": pair.certPem,
    "tls.key": pair.keyPem,
    "ca.crt": textOf(authority, "ca.crt"),
  };
  const notes = {
    [annotations.certificateHosts]: noteOf(hosts.join()),
    ...notesOf(observation, request),
  };
  if (resourceVersion !== undefined) {
    return patch(ports, observation, { name, resourceVersion }, data, notes);
  }
  const owner = member === undefined ? clusterOwner(observation) : memberOwner(observation, member);
  return create(ports, observation, {
    name,
    owner,
    notes,
    data,
    ...(member === undefined ? {} : { member }),
  });
}

function newAuthority({ pki }: IssuePorts, { nowMs }: Observation, plane: Plane): Promise<Pair> {
  // A name that no other has: which of two signed something can then be told by the name alone.
  const commonName = `etcdlike ${plane} ca ${Math.floor(nowMs / 1_000).toString(16)}`;
  return pki.makeAuthority(commonName, {
    notBeforeMs: nowMs - skewMs,
    notAfterMs: nowMs + authorityValidityMs,
  });
}

function notesOf({ nowMs }: Observation, request: string | undefined): Record<string, string> {
  return {
    [annotations.writtenAt]: secondTime(nowMs),
    ...(request === undefined ? {} : { [annotations.rotationRequest]: request }),
  };
}

async function readAuthority(
  { client }: IssuePorts,
  { cluster }: Observation,
  plane: Plane,
): Promise<Secret> {
  const { namespace } = cluster.metadata;
  const name = authoritySecretNameOf(cluster, plane);
  return (await client.request({
    method: "GET",
    path: resourcePath(kinds.secret, { namespace, name }),
  })) as Secret;
}

async function create(
  { client }: IssuePorts,
  { cluster }: Observation,
  secret: {
    readonly name: string;
    readonly owner: OwnerReference;
    readonly member?: string;
    readonly notes: Readonly<Record<string, string>>;
    readonly data: Readonly<Record<string, string | undefined>>;
  },
): Promise<boolean> {
  const { namespace } = cluster.metadata;
  const { name, owner, member, notes, data } = secret;
  try {
    await client.request({
      method: "POST",
      path: resourcePath(kinds.secret, { namespace }),
      query: { fieldManager },
      body: {
        apiVersion: "v1",
        kind: "Secret",
        type: "kubernetes.io/tls",
        metadata: {
          name,
          namespace,
          labels: {
            "app.kubernetes.io/name": "etcdlike",
            "app.kubernetes.io/instance": cluster.metadata.name,
            "app.kubernetes.io/managed-by": "etcdlike-operator",
            [labels.cluster]: cluster.metadata.name,
            ...(member === undefined ? {} : { [labels.member]: member }),
          },
          annotations: notes,
          ownerReferences: [owner],
        },
        data: encoded(data),
      },
    });
    return true;
  } catch (error) {
    if (!(isStatus(error, 409) && error.reason === "AlreadyExists")) throw error;
  }
  // Made by an attempt whose answer was lost, or not seen yet; anything else stays as it is.
  const path = resourcePath(kinds.secret, { namespace, name });
  const found = (await client.request({ method: "GET", path })) as Secret;
  if (found.metadata.ownerReferences?.some(({ uid }) => uid === owner.uid) === true) return false;
  throw new Error(`Secret ${namespace}/${name} is there already, and not of this cluster`);
}

async function patch(
  { client }: IssuePorts,
  { cluster, nowMs }: Observation,
  { name, resourceVersion }: { readonly name: string; readonly resourceVersion: string },
  data: Readonly<Record<string, string | undefined>>,
  notes: Readonly<Record<string, string>> = { [annotations.writtenAt]: secondTime(nowMs) },
): Promise<boolean> {
  try {
    await client.request({
      method: "PATCH",
      path: resourcePath(kinds.secret, { namespace: cluster.metadata.namespace, name }),
      query: { fieldManager },
      contentType: patchTypes.merge,
      body: { metadata: { resourceVersion, annotations: notes }, data: encoded(data) },
    });
    return true;
  } catch (error) {
    if (isStatus(error, 404, 409)) return false;
    throw error;
  }
}

/** As a Secret carries it; in a merge patch, null removes. */
function encoded(data: Readonly<Record<string, string | undefined>>): Record<string, string | null> {
  return Object.fromEntries(
    Object.entries(data).map(([key, text]) => [
      key,
      text === undefined ? null : Buffer.from(text, "utf8").toString("base64"),
    ]),
  );
}

function clusterOwner({ cluster }: Observation): OwnerReference {
  const { name, uid } = cluster.metadata;
  return { apiVersion, kind: resources.cluster.kind, name, uid, controller: true };
}

function memberOwner({ members }: Observation, name: string): OwnerReference {
  const member = members.find((one) => one.metadata.name === name);
  const uid = must(member?.metadata.uid, "a certificate is made for a member that exists", { name });
  return { apiVersion, kind: resources.member.kind, name, uid, controller: true };
}
