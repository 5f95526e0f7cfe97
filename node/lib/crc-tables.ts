// CRCs of 32 bits with reflected polynomials, eight bytes a step through eight tables.

export type CrcTables = Int32Array;

/** Table k at [k << 8, (k + 1) << 8) advances a byte over k further zero bytes. */
export function crcTables(polynomial: number): CrcTables {
  const table = new Int32Array(8 * 256);
  for (let n = 0; n < 256; n++) {
    let c = n;
    for (let bit = 0; bit < 8; bit++) c = c & 1 ? (c >>> 1) ^ polynomial : c >>> 1;
    table[n] = c;
  }
  for (let i = 256; i < table.length; i++) {
    const previous = table[i - 256] as number;
    table[i] = (table[previous & 0xff] as number) ^ (previous >>> 8);
  }
  return table;
}

/** The running CRC, not inverted, after eight bytes: the first four, with the value before mixed in, and the others. */
function advanced(table: CrcTables, low: number, high: number): number {
  return (
    (table[0x700 | (low & 0xff)] as number) ^
    (table[0x600 | ((low >>> 8) & 0xff)] as number) ^
    (table[0x500 | ((low >>> 16) & 0xff)] as number) ^
    (table[0x400 | (low >>> 24)] as number) ^
    (table[0x300 | (high & 0xff)] as number) ^
    (table[0x200 | ((high >>> 8) & 0xff)] as number) ^
    (table[0x100 | ((high >>> 16) & 0xff)] as number) ^
    (table[high >>> 24] as number)
  );
}

function wordAt(bytes: Uint8Array, i: number): number {
  return (
    (bytes[i] as number) |
    ((bytes[i + 1] as number) << 8) |
    ((bytes[i + 2] as number) << 16) |
    ((bytes[i + 3] as number) << 24)
  );
}

/** The running CRC after the bytes from `start` to `end`; `crc` is the value so far, 0 at first. Unsigned 32 bits. Hot. */
export function updateCrc(
  table: CrcTables,
  crc: number,
  bytes: Uint8Array,
  start: number,
  end: number,
): number {
  let c = ~crc;
  let i = start;
  for (const wordsEnd = end - 7; i < wordsEnd; i += 8) {
    c = advanced(table, c ^ wordAt(bytes, i), wordAt(bytes, i + 4));
  }
  for (; i < end; i++) c = (table[(c ^ (bytes[i] as number)) & 0xff] as number) ^ (c >>> 8);
  return ~c >>> 0;
}

/** The same while the bytes are copied to `target`, which takes less than one after the other. Hot. */
export function copyWithCrc(
  table: CrcTables,
  crc: number,
  source: DataView,
  start: number,
  end: number,
  target: DataView,
  offset: number,
): number {
  const shift = offset - start;
  let c = ~crc;
  let i = start;
  for (const wordsEnd = end - 7; i < wordsEnd; i += 8) {
    const low = source.getInt32(i, true);
    const high = source.getInt32(i + 4, true);
    target.setInt32(i + shift, low, true);
    target.setInt32(i + shift + 4, high, true);
    c = advanced(table, c ^ low, high);
  }
  for (; i < end; i++) {
    const byte = source.getUint8(i);
    target.setUint8(i + shift, byte);
    c = (table[(c ^ byte) & 0xff] as number) ^ (c >>> 8);
  }
  return ~c >>> 0;
}
