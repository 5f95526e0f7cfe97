// A real server that speaks S3, with a bucket, in a temporary folder.
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { CreateBucketCommand, GetObjectCommand, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { freePort } from "../e2e/support/scratch.ts";
import { startInBackground } from "./background.ts";
import { toolPath } from "./toolchain.ts";

export interface Minio {
  readonly endpoint: string;
  readonly bucket: string;
  readonly accessKey: string;
  readonly secretKey: string;
  get(key: string): Promise<Uint8Array>;
  /** Whatever is there is replaced. */
  put(key: string, bytes: Uint8Array): Promise<void>;
  stop(): Promise<void>;
}

const readyTimeoutMs = 120_000;

/** Listens on `host`, loopback without it. */
export async function startMinio(host = "127.0.0.1"): Promise<Minio> {
  const folder = await mkdtemp(join(tmpdir(), "minio-test-"));
  const [accessKey, secretKey] = ["etcdlike", randomBytes(16).toString("hex")];
  const address = `${host}:${await freePort()}`;
  const server = startInBackground(
    await toolPath("minio"),
    ["server", join(folder, "data"), "--address", address, "--quiet"],
    {
      logFile: join(folder, "log"),
      env: { MINIO_ROOT_USER: accessKey, MINIO_ROOT_PASSWORD: secretKey, MINIO_BROWSER: "off", HOME: folder },
    },
  );
  const endpoint = `http://${address}`;
  const bucket = "snapshots";
  const client = new S3Client({
    endpoint,
    region: "us-east-1",
    forcePathStyle: true,
    credentials: { accessKeyId: accessKey, secretAccessKey: secretKey },
  });
  const stop = async (): Promise<void> => {
    client.destroy();
    await server.stop();
    await rm(folder, { recursive: true, force: true });
  };
  try {
    await untilReady(endpoint, () => {
      if (!server.isRunning()) throw new Error(`MinIO ended:\n${server.tail()}`);
    });
    await client.send(new CreateBucketCommand({ Bucket: bucket }));
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    ...{ endpoint, bucket, accessKey, secretKey, stop },
    async get(Key) {
      const { Body } = await client.send(new GetObjectCommand({ Bucket: bucket, Key }));
      return Body?.transformToByteArray() ?? new Uint8Array(0);
    },
    async put(Key, Body) {
      await client.send(new PutObjectCommand({ Bucket: bucket, Key, Body }));
    },
  };
}

async function untilReady(endpoint: string, check: () => void): Promise<void> {
  const deadline = performance.now() + readyTimeoutMs;
  for (;;) {
    check();
    const answer = await fetch(`${endpoint}/minio/health/ready`).catch(() => undefined);
    if (answer?.status === 200) return;
    if (performance.now() > deadline) throw new Error(`MinIO was not ready within ${readyTimeoutMs} ms`);
    await sleep(100);
  }
}
