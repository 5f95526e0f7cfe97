// One HTTP request as the script has it, and what of the answer is compared.

import { type IncomingMessage, type RequestOptions, request } from "node:http";
import { WebSocket } from "ws";

export interface Question {
  readonly method?: string;
  readonly path: string;
  /** Of any bytes: each character is one. */
  readonly body?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** A stream is read until it has so many lines; anything else until its end. */
  readonly lines?: number;
  /** Asked over a WebSocket: what is said there, and the protocols that are offered. */
  readonly webSocket?: { readonly messages: readonly string[]; readonly protocols?: readonly string[] };
}

/** The fields that a client may look at, in this order. */
const shownFields = [
  "content-type",
  "grpc-metadata-content-type",
  "x-content-type-options",
  "www-authenticate",
  "location",
  "access-control-allow-methods",
  "access-control-allow-origin",
  "access-control-allow-headers",
];

const answerTimeoutMs = 10_000;

/** Status, fields and body as lines of text, masked. */
export function ask(clientUrl: string, question: Question): Promise<string> {
  return question.webSocket === undefined ? askPlainly(clientUrl, question) : converse(clientUrl, question);
}

function askPlainly(clientUrl: string, question: Question): Promise<string> {
  const { method = "POST", path, body = "", headers = {}, lines } = question;
  const url = new URL(clientUrl);
  const options: RequestOptions = { host: url.hostname, port: url.port, path, method };
  const bytes = Buffer.from(body, "latin1");
  return new Promise((resolve, reject) => {
    const sent = request({ ...options, headers: { "content-length": bytes.length, ...headers } });
    const timer = setTimeout(() => sent.destroy(new Error("no answer in time")), answerTimeoutMs);
    sent.on("response", (response) => {
      let text = "";
      const finish = (): void => {
        clearTimeout(timer);
        resolve(shown(response, text));
        sent.destroy();
      };
      response.setEncoding("utf8").on("data", (chunk: string) => {
        text += chunk;
        if (lines !== undefined && text.split("\n").length > lines) finish();
      });
      response.on("end", finish);
    });
    sent.on("error", (error) => {
      clearTimeout(timer);
      reject(error);
    });
    sent.end(bytes);
  });
}

/** What the member says on a WebSocket, until it has said enough or closes it. */
function converse(clientUrl: string, { path, webSocket, lines }: Question): Promise<string> {
  const { messages = [], protocols = [] } = webSocket ?? {};
  const socket = new WebSocket(clientUrl.replace("http:", "ws:") + path, [...protocols]);
  const said: string[] = [];
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error("no answer in time")), answerTimeoutMs);
    const finish = (): void => {
      clearTimeout(timer);
      resolve([`protocol ${socket.protocol}`, ...said].join("\n"));
      socket.terminate();
    };
    socket.on("open", () => {
      for (const message of messages) socket.send(message);
    });
    socket.on("message", (data, isBinary) => {
      said.push(`${isBinary ? "binary" : "text"} ${masked(String(data))}`);
      if (said.length === lines) finish();
    });
    socket.on("unexpected-response", (_request, response) => {
      said.push(String(response.statusCode));
      finish();
    });
    socket.on("error", (error) => said.push(error.message));
    socket.on("close", finish);
  });
}

function shown({ statusCode, headers }: IncomingMessage, text: string): string {
  const fields = shownFields
    .filter((name) => headers[name] !== undefined)
    .map((name) => `${name}: ${headers[name]}`);
  return [String(statusCode), ...fields, masked(text)].join("\n");
}

/** Elections and files differ; Go's protojson strews spaces in, as each build of it likes. */
function masked(text: string): string {
  return (
    text
      .replaceAll(/, "/g, `,"`)
      .replaceAll(/, \{/g, ",{")
      .replaceAll("proto:\u00a0", "proto: ")
      // Which of its two clocks ends a stream first, etcd leaves to chance.
      .replace("stream terminated by RST_STREAM with error code: CANCEL", "context deadline exceeded")
      .replaceAll(
        /"(raft_term|raftTerm|raftIndex|raftAppliedIndex|dbSize|dbSizeInUse)":"\d+"/g,
        `"$1":"<masked>"`,
      )
      .replaceAll(/"hash":\d+/g, `"hash":<masked>`)
      .replaceAll(/"blob":"[^"]+"/g, `"blob":"<masked>"`)
      .replaceAll(/"remaining_bytes":"\d+",/g, "")
      .replaceAll(/"TTL":"(99|98)\d"/g, `"TTL":"<masked>"`)
  );
}
