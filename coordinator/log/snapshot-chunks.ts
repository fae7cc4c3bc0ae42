/** The chunks that a snapshot is saved from, as every LogStore takes them. */
import { assert } from "../../shared/model/assert.ts";
import { SNAPSHOT_CHUNK_BYTES, SnapshotAbandoned } from "./log-store.ts";
import { crc32 } from "./wal/crc32.ts";

type Chunks = Iterable<Uint8Array> | AsyncIterable<Uint8Array>;

/** Throws SnapshotAbandoned when `chunks` throws. */
export async function* taken(chunks: Chunks): AsyncGenerator<Uint8Array, void> {
  let count = 0;
  for await (const chunk of orAbandoned(chunks)) {
    const isBounded = chunk.length > 0 && chunk.length <= SNAPSHOT_CHUNK_BYTES;
    assert(isBounded, "a snapshot's chunks are bounded");
    count += 1;
    yield chunk;
  }
  assert(count > 0, "a snapshot has a chunk");
}

async function* orAbandoned(chunks: Chunks): AsyncGenerator<Uint8Array, void> {
  try {
    yield* chunks;
  } catch (cause) {
    throw new SnapshotAbandoned(`the snapshot ended early: ${String(cause)}`, { cause });
  }
}

/** Of these bytes, or, with `before`, of what `before` covered followed by them. */
export function checksum(bytes: Uint8Array, before = 0): number {
  return crc32(bytes, before);
}
