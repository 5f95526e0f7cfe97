// A TCP proxy in front of the API server whose connections a test can cut or silence.
import { connect, createServer, type Socket } from "node:net";

export interface CuttingProxy {
  readonly url: string;
  /** Connections open now. */
  readonly open: () => number;
  /** Resets every connection. */
  cut(): void;
  /** Bytes from the server are dropped and connections stay, as behind a half-open connection. */
  silence(): void;
  hear(): void;
  close(): void;
}

export function cuttingProxy(targetPort: number): Promise<CuttingProxy> {
  const pairs = new Set<readonly [Socket, Socket]>();
  const silenced = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = connect(targetPort, "127.0.0.1");
    const pair = [client, upstream] as const;
    pairs.add(pair);
    const end = () => {
      pairs.delete(pair);
      client.destroy();
      upstream.destroy();
    };
    for (const socket of pair) {
      socket.on("error", end);
      socket.on("close", end);
    }
    client.on("data", (chunk) => upstream.write(chunk));
    upstream.on("data", (chunk) => {
      if (!silenced.has(client)) client.write(chunk);
    });
  });
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      const port = typeof address === "object" && address !== null ? address.port : 0;
      resolve({
        url: `https://127.0.0.1:${port}`,
        open: () => pairs.size,
        cut() {
          for (const [client] of pairs) client.resetAndDestroy();
        },
        silence() {
          for (const [client] of pairs) silenced.add(client);
        },
        hear: () => silenced.clear(),
        close() {
          for (const [client] of pairs) client.destroy();
          server.close();
        },
      });
    });
  });
}
