/**
 * Records, each led by its length (uint32, little-endian), as a stream that is cut into chunks; and back, wherever it was
 * cut. A record may be longer than a chunk.
 */

/** At most so much is held back before it is handed on. */
const LEDGER_CHUNK_BYTES = 64 * 1024;
/** A commit command has at most a million characters, of at most four bytes each; whatever claims more is no record. */
const MAX_RECORD_BYTES = 16 * 1024 * 1024;
const LENGTH_BYTES = 4;

export class SnapshotMalformed extends Error {
  override readonly name = "SnapshotMalformed";
}

export function malformed(what: string): never {
  throw new SnapshotMalformed(`this is no snapshot of the ledger: ${what}`);
}

export function* chunksOf(records: () => Iterable<Uint8Array>): Generator<Uint8Array> {
  let chunk = new Uint8Array(LEDGER_CHUNK_BYTES);
  let filled = 0;
  for (const record of records()) {
    for (const part of [lengthOf(record), record]) {
      for (let taken = 0; taken < part.length;) {
        const piece = part.subarray(taken, taken + chunk.length - filled);
        chunk.set(piece, filled);
        taken += piece.length;
        filled += piece.length;
        if (filled < chunk.length) continue;
        yield chunk;
        chunk = new Uint8Array(LEDGER_CHUNK_BYTES);
        filled = 0;
      }
    }
  }
  if (filled > 0) yield chunk.subarray(0, filled);
}

function lengthOf(record: Uint8Array): Uint8Array {
  const length = new Uint8Array(LENGTH_BYTES);
  new DataView(length.buffer).setUint32(0, record.length, true);
  return length;
}

export function* recordsOf(chunks: Iterable<Uint8Array>): Generator<Uint8Array, undefined> {
  let rest: Uint8Array = new Uint8Array(0);
  for (const chunk of chunks) {
    rest = joined(rest, chunk);
    for (;;) {
      const record = firstOf(rest);
      if (record === undefined) break;
      yield record;
      rest = rest.subarray(LENGTH_BYTES + record.length);
    }
  }
  return rest.length > 0 ? malformed("it ends within a record") : undefined;
}

function joined(left: Uint8Array, right: Uint8Array): Uint8Array {
  const both = new Uint8Array(left.length + right.length);
  both.set(left);
  both.set(right, left.length);
  return both;
}

/** Undefined when it is not whole yet. */
function firstOf(bytes: Uint8Array): Uint8Array | undefined {
  if (bytes.length < LENGTH_BYTES) return undefined;
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  if (length > MAX_RECORD_BYTES) malformed(`a record claims ${length} bytes`);
  return bytes.length < LENGTH_BYTES + length
    ? undefined
    : bytes.subarray(LENGTH_BYTES, LENGTH_BYTES + length);
}
