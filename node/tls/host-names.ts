// Whether an address is one of a certificate's names, as the resolver knows them. Nobody waits longer than the deadline
// for it, and a name that is being looked up is not looked up again meanwhile, so a resolver that is out of reach holds
// no more than one look-up a name.

import { lookup, Resolver } from "node:dns/promises";

/** Both reject for what nobody knows. */
export interface NameResolver {
  addressesOf(host: string): Promise<readonly string[]>;
  namesOf(address: string): Promise<readonly string[]>;
}

/** As long as a handshake may take. */
const deadlineMsDefault = 10_000;

export class HostNames {
  readonly #resolver: NameResolver;
  readonly #deadlineMs: number;
  readonly #underWay = new Map<string, Promise<readonly string[]>>();

  constructor(resolver: NameResolver = systemResolver(), deadlineMs = deadlineMsDefault) {
    this.#resolver = resolver;
    this.#deadlineMs = deadlineMs;
  }

  /** "late": the resolver said nothing in time, and not everything was looked up. */
  async find(hosts: readonly string[], address: string): Promise<"yes" | "no" | "late"> {
    if (hosts.length === 0) return "no";
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<"late">((resolve) => {
      timer = setTimeout(resolve, this.#deadlineMs, "late");
    });
    try {
      return await Promise.race([late, this.#isNamed(hosts, address)]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Both ways, as etcd does: wildcards only match the names that the address has. */
  async #isNamed(hosts: readonly string[], address: string): Promise<"yes" | "no"> {
    const wildcards = hosts.filter((host) => host.startsWith("*.")).map((host) => host.slice(1));
    const names = hosts.filter((host) => !host.startsWith("*."));
    const forward = names.map(async (name) => {
      const addresses = await this.#once(`name ${name}`, () => this.#resolver.addressesOf(name));
      return addresses.includes(address);
    });
    const reverse = this.#once(`address ${address}`, () => this.#resolver.namesOf(address)).then((found) =>
      found.some((name) => names.includes(name) || wildcards.some((end) => name.endsWith(end))),
    );
    return anyOf([...forward, reverse]);
  }

  #once(key: string, ask: () => Promise<readonly string[]>): Promise<readonly string[]> {
    const asked = this.#underWay.get(key);
    if (asked !== undefined) return asked;
    // A name that nobody knows is nobody's address.
    const answer = ask()
      .catch((): readonly string[] => [])
      .finally(() => this.#underWay.delete(key));
    this.#underWay.set(key, answer);
    return answer;
  }
}

/** "yes" as soon as one of them is. */
async function anyOf(answers: readonly Promise<boolean>[]): Promise<"yes" | "no"> {
  const found = answers.map(async (answer) => {
    if (!(await answer)) throw new Error("not this one");
    return "yes" as const;
  });
  return Promise.any(found).catch(() => "no" as const);
}

const reverseTimeoutMs = 2_000;
const reverseTries = 2;

function systemResolver(): NameResolver {
  const resolver = new Resolver({ timeout: reverseTimeoutMs, tries: reverseTries });
  return {
    addressesOf: async (host) => (await lookup(host, { all: true })).map(({ address }) => address),
    namesOf: (address) => resolver.reverse(address),
  };
}
