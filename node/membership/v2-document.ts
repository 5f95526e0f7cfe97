// The data of a `.snap` file: the membership as a tree of etcd's old v2 store, in JSON. etcd 3.6 reads the members
// and learners of a snapshot from it and refuses an empty one, so it is written although nothing of ours reads it.

import { hexId } from "../lib/ids.ts";
import { encodeAttributes, encodeRaftAttributes, jsonString, type Member } from "./member.ts";

const noExpiry = "0001-01-01T00:00:00Z";

/** etcd's event queue has room for this many events and is written with all its places. */
const eventPlaces = 1000;

/** The document for these members at this cluster version ("3.6.0", or undefined while it is not decided). */
export function encodeV2Document(members: readonly Member[], clusterVersion: string | undefined): string {
  let index = 0;
  const memberNodes: [string, string][] = [];
  for (const member of members) {
    const path = `/0/members/${hexId(member.id)}`;
    index++;
    const created = index;
    const children: [string, string][] = [];
    if (member.name !== "" || member.clientUrls.length > 0) {
      index++;
      children.push(["attributes", leaf(`${path}/attributes`, index, encodeAttributes(member))]);
    }
    children.push(["raftAttributes", leaf(`${path}/raftAttributes`, created, encodeRaftAttributes(member))]);
    memberNodes.push([hexId(member.id), folder(path, created, children)]);
  }
  const cluster: [string, string][] = [["members", folder("/0/members", 1, memberNodes)]];
  if (clusterVersion !== undefined) {
    index++;
    cluster.push(["version", leaf("/0/version", index, clusterVersion)]);
  }
  const root = folder("/", 0, [
    ["0", folder("/0", 0, cluster)],
    ["1", folder("/1", 0, [])],
  ]);
  return `{"Root":${root},"WatcherHub":${watcherHub()},"CurrentIndex":${index},"Stats":{},"CurrentVersion":2}`;
}

function node(path: string, index: number, value: string, children: string): string {
  return (
    `{"Path":${jsonString(path)},"CreatedIndex":${index},"ModifiedIndex":${index},"ExpireTime":"${noExpiry}",` +
    `"Value":${jsonString(value)},"Children":${children}}`
  );
}

function leaf(path: string, index: number, value: string): string {
  return node(path, index, value, "null");
}

function folder(path: string, index: number, children: readonly [string, string][]): string {
  const sorted = [...children].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  return node(
    path,
    index,
    "",
    `{${sorted.map(([name, child]) => `${jsonString(name)}:${child}`).join(",")}}`,
  );
}

function watcherHub(): string {
  const places = new Array<string>(eventPlaces).fill("null").join(",");
  const queue = `{"Events":[${places}],"Size":0,"Front":0,"Back":0,"Capacity":${eventPlaces}}`;
  return `{"EventHistory":{"Queue":${queue},"StartIndex":0,"LastIndex":0}}`;
}
