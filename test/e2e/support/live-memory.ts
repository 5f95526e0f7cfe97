// What is alive in a member's JavaScript heap, seen through Node's inspector: a full collection first, so that
// garbage that nobody has collected yet does not count. The member itself needs nothing for it but NODE_OPTIONS.

/** For a member that is to be asked. */
export function inspectorEnvironment(port: number): Readonly<Record<string, string>> {
  return { NODE_OPTIONS: `--inspect=127.0.0.1:${port}` };
}

export interface LiveMemory {
  readonly heapBytes: number;
  readonly arrayBufferBytes: number;
}

export async function liveMemory(port: number): Promise<LiveMemory> {
  const targets = (await (await fetch(`http://127.0.0.1:${port}/json/list`)).json()) as readonly {
    readonly webSocketDebuggerUrl: string;
  }[];
  const session = new Session(targets[0]?.webSocketDebuggerUrl ?? "");
  try {
    // The second one waits for what the first one left to be swept.
    for (let i = 0; i < 2; i++) await session.call("HeapProfiler.collectGarbage", {});
    const { result } = (await session.call("Runtime.evaluate", {
      expression: "JSON.stringify(process.memoryUsage())",
    })) as { readonly result: { readonly value: string } };
    const { heapUsed, arrayBuffers } = JSON.parse(result.value) as NodeJS.MemoryUsage;
    return { heapBytes: heapUsed, arrayBufferBytes: arrayBuffers };
  } finally {
    session.close();
  }
}

class Session {
  readonly #socket: WebSocket;
  readonly #opened: Promise<void>;
  readonly #waiting = new Map<number, (result: unknown) => void>();
  #lastId = 0;

  constructor(url: string) {
    this.#socket = new WebSocket(url);
    this.#opened = new Promise((resolve, reject) => {
      this.#socket.addEventListener("open", () => resolve());
      this.#socket.addEventListener("error", () => reject(new Error(`no inspector at ${url}`)));
    });
    this.#socket.addEventListener("message", ({ data }) => {
      const { id, result } = JSON.parse(String(data)) as { readonly id: number; readonly result: unknown };
      this.#waiting.get(id)?.(result);
    });
  }

  async call(method: string, params: object): Promise<unknown> {
    await this.#opened;
    const id = ++this.#lastId;
    const answer = new Promise((resolve) => this.#waiting.set(id, resolve));
    this.#socket.send(JSON.stringify({ id, method, params }));
    return answer;
  }

  close(): void {
    this.#socket.close();
  }
}
