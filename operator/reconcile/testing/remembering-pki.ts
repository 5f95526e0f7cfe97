// Real certificates, each made once: thousands of runs ask for the same ones, and making them would take most of
// their time.
import { createPki } from "../../pki/issuer.ts";
import type { Pair, Pki } from "../../pki/port.ts";

export function rememberingPki(): Pki {
  const pki = createPki();
  const made = new Map<string, Promise<Pair>>();
  const remember = (key: unknown, make: () => Promise<Pair>): Promise<Pair> => {
    const text = JSON.stringify(key);
    const pair = made.get(text) ?? make();
    made.set(text, pair);
    return pair;
  };
  return {
    makeAuthority: (...request) => remember(request, () => pki.makeAuthority(...request)),
    issue: (...request) => remember(request, () => pki.issue(...request)),
  };
}
