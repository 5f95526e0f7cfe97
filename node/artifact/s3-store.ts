// An artifact as an object of a store that speaks S3. A small one is put in one request, a larger one in parts that
// become the object in one step at the end. Both are conditional on nothing being there.

import type { Readable } from "node:stream";
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  PutObjectCommand,
  S3Client,
  UploadPartCommand,
} from "@aws-sdk/client-s3";
import { concatBytes } from "../lib/bytes.ts";
import { type ArtifactLocation, uriOf } from "./location.ts";
import type { ArtifactStore } from "./store.ts";

/** S3 takes 10,000 parts: at this size 160 GB. One is in memory at a time. */
const partBytes = 16 << 20;
const attemptsMax = 5;

export class S3Store implements ArtifactStore {
  readonly #client: S3Client;
  readonly #at: { readonly Bucket: string; readonly Key: string };
  readonly #uri: string;

  constructor(location: ArtifactLocation & { readonly kind: "s3" }) {
    const { endpoint, region, isPathStyle } = location.server;
    this.#client = new S3Client({
      region,
      forcePathStyle: isPathStyle,
      maxAttempts: attemptsMax,
      // Not every server knows the checksums that are AWS' own default; a sum of ours is over the whole.
      requestChecksumCalculation: "WHEN_REQUIRED",
      responseChecksumValidation: "WHEN_REQUIRED",
      ...(endpoint === undefined ? {} : { endpoint }),
    });
    this.#at = { Bucket: location.bucket, Key: location.key };
    this.#uri = uriOf(location);
  }

  async exists(): Promise<boolean> {
    try {
      await this.#client.send(new HeadObjectCommand(this.#at));
      return true;
    } catch (error) {
      if (statusOf(error) === 404) return false;
      throw this.#failed("asking for", error);
    }
  }

  async write(pieces: AsyncIterable<Uint8Array>): Promise<boolean> {
    // A server that knows no conditions still never loses an object that was there before.
    if (await this.exists()) return false;
    try {
      return await this.#writeParts(partsOf(pieces));
    } catch (error) {
      if (isTaken(error)) return false;
      throw this.#failed("writing", error);
    }
  }

  async *read(): AsyncGenerator<Uint8Array> {
    const body = await this.#get();
    try {
      for await (const piece of body) yield piece as Uint8Array;
    } catch (error) {
      throw this.#failed("reading", error);
    }
  }

  async remove(): Promise<void> {
    try {
      await this.#client.send(new DeleteObjectCommand(this.#at));
    } catch (error) {
      if (statusOf(error) !== 404) throw this.#failed("removing", error);
    }
  }

  async #get(): Promise<Readable> {
    try {
      const { Body } = await this.#client.send(new GetObjectCommand(this.#at));
      return Body as Readable;
    } catch (error) {
      if (statusOf(error) === 404) throw new Error(`there is no artifact at ${this.#uri}`, { cause: error });
      throw this.#failed("reading", error);
    }
  }

  async #writeParts(parts: AsyncGenerator<Uint8Array>): Promise<boolean> {
    const first = await parts.next();
    const firstPart = first.done === true ? new Uint8Array(0) : first.value;
    if (firstPart.length < partBytes) {
      await this.#client.send(new PutObjectCommand({ ...this.#at, Body: firstPart, IfNoneMatch: "*" }));
      return true;
    }
    const { UploadId } = await this.#client.send(new CreateMultipartUploadCommand(this.#at));
    if (UploadId === undefined) throw new Error("the server began an upload without an id");
    try {
      const done = [await this.#uploadPart(UploadId, 1, firstPart)];
      for await (const part of parts) done.push(await this.#uploadPart(UploadId, done.length + 1, part));
      const upload = { ...this.#at, UploadId, MultipartUpload: { Parts: done }, IfNoneMatch: "*" };
      await this.#client.send(new CompleteMultipartUploadCommand(upload));
      return true;
    } catch (error) {
      await this.#abort(UploadId, error);
      throw error;
    }
  }

  async #uploadPart(UploadId: string, PartNumber: number, Body: Uint8Array) {
    const { ETag } = await this.#client.send(
      new UploadPartCommand({ ...this.#at, UploadId, PartNumber, Body }),
    );
    return { PartNumber, ETag };
  }

  /** Parts of an upload that is not ended cost room until the bucket's own rules remove them. */
  async #abort(UploadId: string, reason: unknown): Promise<void> {
    try {
      await this.#client.send(new AbortMultipartUploadCommand({ ...this.#at, UploadId }));
    } catch (cause) {
      const text = `${messageOf(reason)}; and its parts are left behind: ${messageOf(cause)}`;
      throw new Error(text, { cause: reason });
    }
  }

  #failed(doing: string, cause: unknown): Error {
    return new Error(`${doing} ${this.#uri} failed: ${messageOf(cause)}`, { cause });
  }
}

/** Parts of the full size, the last one shorter. */
async function* partsOf(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let held: Uint8Array[] = [];
  let bytes = 0;
  for await (const piece of pieces) {
    let rest = piece;
    while (bytes + rest.length >= partBytes) {
      const fitting = partBytes - bytes;
      yield concatBytes([...held, rest.subarray(0, fitting)]);
      rest = rest.subarray(fitting);
      held = [];
      bytes = 0;
    }
    if (rest.length > 0) held.push(rest);
    bytes += rest.length;
  }
  if (bytes > 0) yield concatBytes(held);
}

function statusOf(error: unknown): number | undefined {
  return (error as { $metadata?: { httpStatusCode?: number } }).$metadata?.httpStatusCode;
}

/** The condition failed, or somebody else was just at it. */
function isTaken(error: unknown): boolean {
  return statusOf(error) === 412;
}

/** The SDK's errors may have no message, only a name. */
function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.message === "" || error.message === "UnknownError" ? error.name : error.message;
}
