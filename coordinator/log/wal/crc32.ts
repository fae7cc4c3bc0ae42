/**
 * CRC-32 (IEEE 802.3, reflected). Pure, so that codec and recovery need nothing of Node.
 *
 * Eight bytes a step over eight tables: 1.3 GB/s where one byte a step reaches 0.15, which is half a millisecond for a
 * batch of 64 KiB. node:zlib reaches 5; beside a sync of 120 µs the difference is not worth an import.
 */
const STRIDE = 8;
const TABLE = makeTables();

/** Table k at 256·k: the checksum of a byte followed by k zeros. */
function makeTables(): Int32Array {
  const table = new Int32Array(STRIDE * 256);
  for (let index = 0; index < 256; index += 1) {
    let value = index;
    for (let bit = 0; bit < 8; bit += 1) {
      value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
    }
    table[index] = value;
  }
  for (let index = 256; index < table.length; index += 1) {
    const before = table[index - 256] ?? 0;
    table[index] = (before >>> 8) ^ (table[before & 255] ?? 0);
  }
  return table;
}

function entry(index: number): number {
  return TABLE[index] ?? 0;
}

/** The checksum of `bytes`, or, with `before`, of what `before` covered followed by `bytes`. */
export function crc32(bytes: Uint8Array, before = 0): number {
  let crc = ~before;
  let index = 0;
  for (; index + STRIDE <= bytes.length; index += STRIDE) {
    crc ^=
      (bytes[index] ?? 0) |
      ((bytes[index + 1] ?? 0) << 8) |
      ((bytes[index + 2] ?? 0) << 16) |
      ((bytes[index + 3] ?? 0) << 24);
    crc =
      entry(1792 + (crc & 255)) ^
      entry(1536 + ((crc >>> 8) & 255)) ^
      entry(1280 + ((crc >>> 16) & 255)) ^
      entry(1024 + (crc >>> 24)) ^
      entry(768 + (bytes[index + 4] ?? 0)) ^
      entry(512 + (bytes[index + 5] ?? 0)) ^
      entry(256 + (bytes[index + 6] ?? 0)) ^
      entry(bytes[index + 7] ?? 0);
  }
  for (; index < bytes.length; index += 1) {
    crc = (crc >>> 8) ^ entry((crc ^ (bytes[index] ?? 0)) & 255);
  }
  return ~crc >>> 0;
}
