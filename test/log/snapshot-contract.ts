/** What every LogStore promises of snapshots (log-store.ts), as test cases for each adapter. */
import {
  LogFailure,
  SNAPSHOT_CHUNK_BYTES,
  SnapshotAbandoned,
  type LogContents,
  type LogStore,
  type SnapshotChunk,
} from "../../coordinator/log/log-store.ts";
import { crc32 } from "../../coordinator/log/wal/crc32.ts";
import { slot } from "../../shared/model/ids.ts";
import { opened, reopened, type LogStoreCase, type LogWorld } from "./log-store-contract.ts";
import {
  accepted,
  acceptedRange,
  chunksOf,
  contentsOf,
  described,
  promised,
  snapshotRecord,
} from "./records.ts";

const LENGTHS = [1, 1000, SNAPSHOT_CHUNK_BYTES, 7];

/** What an opening finds, its snapshot read to the end. */
async function found(
  world: LogWorld,
): Promise<Pick<LogContents, "records"> & { at: number | undefined; chunks: string }> {
  const log = world.create();
  const { records, snapshot } = await log.open();
  const chunks = contentsOf(snapshot?.chunks() ?? []);
  await log.close();
  return { records, at: snapshot?.slot, chunks };
}

/** Saved and named: it counts. */
async function take(log: LogStore, at: number, truncatedUpTo = at): Promise<void> {
  await log.saveSnapshot(slot(at), chunksOf(at, LENGTHS));
  await log.append([snapshotRecord(at, truncatedUpTo)]);
}

const allChunks = async (
  log: LogStore,
  at: number,
): Promise<readonly (SnapshotChunk | undefined)[]> => {
  const chunks: (SnapshotChunk | undefined)[] = [];
  for (let index = 0; index < LENGTHS.length; index += 1) {
    chunks.push(await log.readSnapshotChunk(slot(at), index));
  }
  return chunks;
};

const plain = (chunk: SnapshotChunk | undefined): unknown =>
  chunk && { bytes: contentsOf([chunk.bytes]), wholeCrc: chunk.wholeCrc };

export const SNAPSHOT_CASES: Readonly<Record<string, LogStoreCase>> = {
  "a snapshot that a record names comes back whole": async (world) => {
    const log = await opened(world);
    await take(log, 5);
    await log.close();
    for (const restart of [1, 2, 3]) {
      const { at, chunks } = await found(world);
      expect({ restart, at, chunks }).toEqual({
        restart,
        at: 5,
        chunks: contentsOf(chunksOf(5, LENGTHS)),
      });
    }
  },

  "a snapshot that no record names does not count, and is gone at the next opening": async (
    world,
  ) => {
    const log = await opened(world);
    await take(log, 3);
    await log.append(acceptedRange(4, 6));
    await log.saveSnapshot(slot(6), chunksOf(6, LENGTHS));
    expect(await log.readSnapshotChunk(slot(6), 0)).toBeUndefined();
    expect(await log.readSnapshotChunk(slot(3), 0)).toBeDefined();
    await log.close();
    const { at, records } = await found(world);
    expect(at).toBe(3);
    expect(described(records)).toBe(described([snapshotRecord(3), ...acceptedRange(4, 6)]));
    const next = await opened(world);
    expect(() => next.append([snapshotRecord(6)])).toThrow("saved before it is named");
    await next.close();
  },

  "what the record stands for is left out, and everything else stays in order": async (world) => {
    const log = await opened(world);
    await log.append([promised(7), ...acceptedRange(1, 6), { kind: "chosenUpTo", slot: slot(6) }]);
    await log.saveSnapshot(slot(5), chunksOf(5, LENGTHS));
    await log.append([{ kind: "learned", slot: slot(2), value: new Uint8Array(3) }, accepted(7)]);
    await log.append([snapshotRecord(5, 4), promised(9), accepted(8)]);
    await log.close();
    const left = [
      accepted(5),
      accepted(6),
      accepted(7),
      snapshotRecord(5, 4),
      promised(9),
      accepted(8),
    ];
    expect(described(await reopened(world))).toBe(described(left));
    expect(described(await reopened(world))).toBe(described(left));
  },

  "a later snapshot takes the place of an earlier one": async (world) => {
    const log = await opened(world);
    await take(log, 2);
    await log.append(acceptedRange(3, 40, 2000));
    await take(log, 40, 38);
    expect(await log.readSnapshotChunk(slot(2), 0)).toBeUndefined();
    expect(await log.readSnapshotChunk(slot(40), 0)).toBeDefined();
    await log.close();
    const { at, chunks, records } = await found(world);
    expect({ at, chunks }).toEqual({ at: 40, chunks: contentsOf(chunksOf(40, LENGTHS)) });
    const left = [...acceptedRange(39, 40, 2000), snapshotRecord(40, 38)];
    expect(described(records)).toBe(described(left));
  },

  "one that is kept is read to its end while later ones count, and goes when it is let go": async (
    world,
  ) => {
    const log = await opened(world);
    await take(log, 2);
    const whole = (await allChunks(log, 2)).map(plain);
    expect(log.keepSnapshots(new Set([slot(2), slot(3)]))).toEqual(new Set([slot(2)]));
    await take(log, 3);
    expect(log.keepSnapshots(new Set([slot(2), slot(3)]))).toEqual(new Set([slot(2), slot(3)]));
    await take(log, 4);
    expect((await allChunks(log, 2)).map(plain)).toEqual(whole);
    expect(log.keepSnapshots(new Set([slot(3)]))).toEqual(new Set([slot(3)]));
    expect(await log.readSnapshotChunk(slot(2), 0)).toBeUndefined();
    expect(await log.readSnapshotChunk(slot(3), 0)).toBeDefined();
    expect(log.keepSnapshots(new Set([slot(2)]))).toEqual(new Set());
    expect(await log.readSnapshotChunk(slot(4), 0)).toBeDefined();
    await log.close();
    expect(log.keepSnapshots(new Set([slot(4)]))).toEqual(new Set());
  },

  "nothing is kept beyond the process": async (world) => {
    const log = await opened(world);
    await take(log, 2);
    log.keepSnapshots(new Set([slot(2)]));
    await take(log, 3);
    await log.close();
    const next = await opened(world);
    expect(next.keepSnapshots(new Set([slot(2)]))).toEqual(new Set());
    expect(await next.readSnapshotChunk(slot(2), 0)).toBeUndefined();
    await next.close();
  },

  "chunks are read one by one, the last with the checksum of all": async (world) => {
    const log = await opened(world);
    await take(log, 5);
    const chunks = chunksOf(5, LENGTHS);
    const wholeCrc = chunks.reduce((crc, chunk) => crc32(chunk, crc), 0);
    const expected = chunks.map((chunk, index) => ({
      bytes: contentsOf([chunk]),
      wholeCrc: index === chunks.length - 1 ? wholeCrc : null,
    }));
    expect((await allChunks(log, 5)).map(plain)).toEqual(expected);
    for (const [at, index] of [
      [5, 4],
      [5, -1],
      [5, 0.5],
      [4, 0],
      [6, 0],
    ] as const) {
      expect(await log.readSnapshotChunk(slot(at), index)).toBeUndefined();
    }
    await log.close();
    const next = await opened(world);
    expect((await allChunks(next, 5)).map(plain)).toEqual(expected);
    await next.close();
  },

  "a snapshot whose chunks end early is abandoned, and the log goes on": async (world) => {
    const log = await opened(world);
    const failing = function* (): Generator<Uint8Array> {
      yield* chunksOf(5, [10, 20]);
      throw new Error("the peer is gone");
    };
    const saving = log.saveSnapshot(slot(5), failing());
    await expect(saving).rejects.toThrow(SnapshotAbandoned);
    await expect(saving).rejects.toThrow("the peer is gone");
    await log.append([accepted(1)]);
    await take(log, 5);
    await log.close();
    expect((await found(world)).chunks).toBe(contentsOf(chunksOf(5, LENGTHS)));
  },

  "a snapshot of a slot that a later one covers is abandoned": async (world) => {
    const log = await opened(world);
    await take(log, 5);
    for (const at of [4, 5]) {
      await expect(log.saveSnapshot(slot(at), chunksOf(at, [1]))).rejects.toThrow(
        SnapshotAbandoned,
      );
    }
    await log.close();
    const next = await opened(world);
    await expect(next.saveSnapshot(slot(5), chunksOf(5, [1]))).rejects.toThrow(SnapshotAbandoned);
    await next.close();
    expect((await found(world)).chunks).toBe(contentsOf(chunksOf(5, LENGTHS)));
  },

  "a snapshot that was saved and not named may be saved again": async (world) => {
    const log = await opened(world);
    await log.saveSnapshot(slot(5), chunksOf(5, [9]));
    await take(log, 5);
    await log.close();
    expect((await found(world)).chunks).toBe(contentsOf(chunksOf(5, LENGTHS)));
  },

  "appends are acknowledged while a snapshot is being saved": async (world) => {
    const log = await opened(world);
    const slow = async function* (): AsyncGenerator<Uint8Array> {
      for (const [index, chunk] of chunksOf(1, LENGTHS).entries()) {
        await log.append([accepted(index + 1)]);
        yield chunk;
      }
    };
    await log.saveSnapshot(slot(1), slow());
    await log.append([snapshotRecord(1, 0)]);
    await log.close();
    const { records, chunks } = await found(world);
    expect(described(records)).toBe(described([...acceptedRange(1, 4), snapshotRecord(1, 0)]));
    expect(chunks).toBe(contentsOf(chunksOf(1, LENGTHS)));
  },

  "a chunk is used when it is taken, whatever its owner does with the bytes later": async (
    world,
  ) => {
    const log = await opened(world);
    const reusing = function* (): Generator<Uint8Array> {
      const buffer = new Uint8Array(8);
      for (const fill of [1, 2, 3]) yield buffer.fill(fill);
    };
    await log.saveSnapshot(slot(1), reusing());
    await log.append([snapshotRecord(1)]);
    await log.close();
    expect((await found(world)).chunks).toBe(
      contentsOf([1, 2, 3].map((fill) => new Uint8Array(8).fill(fill))),
    );
  },

  "closing does not wait for chunks that never come": async (world) => {
    const log = await opened(world);
    let come: (chunk: IteratorResult<Uint8Array>) => void = () => undefined;
    const late = {
      [Symbol.asyncIterator]: () => ({
        next: () => new Promise<IteratorResult<Uint8Array>>((resolve) => (come = resolve)),
      }),
    };
    const saving = log.saveSnapshot(slot(5), late);
    await log.append([accepted(1)]);
    await log.close();
    const next = await opened(world);
    come({ done: false, value: new Uint8Array(1) });
    await expect(saving).rejects.toThrow(LogFailure);
    await take(next, 5, 0);
    await next.close();
    const { records, chunks } = await found(world);
    expect(described(records)).toBe(described([accepted(1), snapshotRecord(5, 0)]));
    expect(chunks).toBe(contentsOf(chunksOf(5, LENGTHS)));
  },

  "a closed log neither saves nor reads snapshots": async (world) => {
    const log = await opened(world);
    await take(log, 5);
    await log.close();
    await expect(log.saveSnapshot(slot(6), chunksOf(6, [1]))).rejects.toThrow(LogFailure);
    await expect(log.readSnapshotChunk(slot(5), 0)).rejects.toThrow(LogFailure);
  },

  "misuse is a programmer's error": async (world) => {
    const log = await opened(world);
    expect(() => log.append([snapshotRecord(5)])).toThrow("saved before it is named");
    const saving = log.saveSnapshot(slot(5), chunksOf(5, [1]));
    await expect(log.saveSnapshot(slot(6), [])).rejects.toThrow("one at a time");
    await saving;
    await log.saveSnapshot(slot(7), chunksOf(7, [1]));
    await log.append([snapshotRecord(7)]);
    expect(() => log.append([snapshotRecord(5)])).toThrow("a snapshot");
    expect(() => log.append([snapshotRecord(7, 8)])).toThrow("holds what the log leaves out");
    expect(() => log.append([snapshotRecord(7, 6)])).toThrow("a truncation never goes back");
    const lengths = [[], [0], [SNAPSHOT_CHUNK_BYTES + 1]];
    for (const [index, wrong] of lengths.entries()) {
      const failing = log.saveSnapshot(slot(10 + index), chunksOf(1, wrong));
      await expect(failing).rejects.toThrow("chunk");
    }
    await log.close();
  },
};
