// Seeded randomness as a port. xoshiro128** (Blackman and Vigna 2018), state filled by splitmix32,
// all in 32-bit integer arithmetic so that every machine draws the same sequence.

export interface Random {
  /** An integer in [0, bound). `bound` is at least 1 and at most 2^32. */
  below(bound: number): number;
  /** 32 random bits as an unsigned integer. */
  bits32(): number;
}

export class SeededRandom implements Random {
  readonly #state = new Uint32Array(4);

  constructor(seed: number) {
    let z = seed >>> 0;
    for (let i = 0; i < 4; i++) {
      z = (z + 0x9e3779b9) >>> 0;
      let mixed = z;
      mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
      mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
      this.#state[i] = mixed ^ (mixed >>> 16);
    }
  }

  bits32(): number {
    const s = this.#state;
    const s0 = s[0] as number;
    const s1 = s[1] as number;
    const s2 = s[2] as number;
    const s3 = s[3] as number;
    const result = Math.imul(rotateLeft(Math.imul(s1, 5), 7), 9) >>> 0;
    const n2 = s2 ^ s0;
    const n3 = s3 ^ s1;
    s[1] = s1 ^ n2;
    s[0] = s0 ^ n3;
    s[2] = n2 ^ (s1 << 9);
    s[3] = rotateLeft(n3, 11);
    return result;
  }

  below(bound: number): number {
    return Math.floor((this.bits32() / 0x1_0000_0000) * bound);
  }
}

function rotateLeft(x: number, k: number): number {
  return (x << k) | (x >>> (32 - k));
}
