/** Damage to what was acknowledged: the log refuses to open and names the place. It is never empty, and never shorter. */
import { join } from "node:path";
import { LogCorruption, LogIdentityMismatch } from "../../coordinator/log/log-store.ts";
import { crc32 } from "../../coordinator/log/wal/crc32.ts";
import { encodeSegmentHeader } from "../../coordinator/log/wal/segment-header.ts";
import { accepted, acceptedRange, described } from "./records.ts";
import { SimulatedDisk } from "./simulated-disk.ts";
import {
  BLOCK,
  DIRECTORY,
  IDENTITY_PATH,
  logOn,
  recordsOn,
  SEGMENT_BYTES,
  segmentPath,
  writtenThenKilled,
} from "./wal-fixture.ts";

const RECORD_BYTES = 1000;
/** Header, record header, value. */
const BATCH_BYTES = 44 + 21 + RECORD_BYTES;
const WRITTEN = acceptedRange(1, 20, RECORD_BYTES);

/**
 * Three segments. In the first: header, opening batch, records 1 to 6; in the second: header, records 7 to 13; in the third
 * the rest.
 */
async function writtenDisk(): Promise<SimulatedDisk> {
  const disk = new SimulatedDisk();
  await writtenThenKilled(
    disk,
    WRITTEN.map((record) => [record]),
  );
  return disk;
}

async function openError(disk: SimulatedDisk): Promise<unknown> {
  const log = logOn(disk);
  return log.open().then(
    ({ records }) => `opened with ${described(records)}`,
    (error: unknown) => error,
  );
}

async function expectCorruption(disk: SimulatedDisk, file: string, offset: number): Promise<void> {
  const error = await openError(disk);
  expect(error).toBeInstanceOf(LogCorruption);
  expect(error).toMatchObject({ file, offset });
  expect((error as Error).message).toContain(`${file} at offset ${offset}`);
}

function damaged(
  disk: SimulatedDisk,
  path: string,
  damage: (bytes: Uint8Array) => void,
): SimulatedDisk {
  const copy = disk.copy();
  const bytes = copy.read(path);
  damage(bytes);
  copy.overwrite(path, bytes);
  return copy;
}

function flipped(disk: SimulatedDisk, path: string, offset: number, bit: number): SimulatedDisk {
  return damaged(disk, path, (bytes) => {
    bytes[offset] = (bytes[offset] ?? 0) ^ (1 << bit);
  });
}

test("the disk of the tests below has three segments and opens", async () => {
  const disk = await writtenDisk();
  const segments = disk.paths.filter((path) => path.endsWith(".segment"));
  expect(segments).toEqual([segmentPath(1), segmentPath(2), segmentPath(3)]);
  expect(described(await recordsOn(disk))).toBe(described(WRITTEN));
});

test("a flipped bit anywhere in an acknowledged batch is corruption at its start", async () => {
  const disk = await writtenDisk();
  const [path, start] = [segmentPath(1), 3 * BLOCK];
  for (let at = 0; at < BATCH_BYTES; at += at < BATCH_BYTES - RECORD_BYTES ? 1 : 7) {
    await expectCorruption(flipped(disk, path, start + at, at % 8), path, start);
  }
});

test("a flipped bit in the padding of a batch does no harm", async () => {
  const disk = await writtenDisk();
  for (const at of [BATCH_BYTES, BATCH_BYTES + 1, BLOCK - 1]) {
    const copy = flipped(disk, segmentPath(1), 3 * BLOCK + at, 3);
    expect(described(await recordsOn(copy))).toBe(described(WRITTEN));
  }
});

test("a flipped bit anywhere in a segment's header block is corruption", async () => {
  const disk = await writtenDisk();
  for (const segment of [1, 2, 3]) {
    for (let at = segment; at < BLOCK; at += 37) {
      const path = segmentPath(segment);
      await expectCorruption(flipped(disk, path, at, at % 8), path, 0);
    }
  }
});

test("a zeroed block between acknowledged batches is corruption", async () => {
  const disk = await writtenDisk();
  for (const [segment, block] of [
    [1, 1],
    [1, 4],
    [1, 7],
    [2, 1],
    [2, 7],
    [3, 1],
    [3, 3],
  ] as const) {
    const [path, start] = [segmentPath(segment), block * BLOCK];
    const copy = damaged(disk, path, (bytes) => bytes.fill(0, start, start + BLOCK));
    await expectCorruption(copy, path, start);
  }
});

test("of a batch behind the damage its header is evidence enough", async () => {
  const disk = await writtenDisk();
  const path = segmentPath(3);
  const copy = damaged(disk, path, (bytes) => {
    bytes.fill(0, 3 * BLOCK, 4 * BLOCK);
    bytes.fill(0, 4 * BLOCK + 500);
  });
  await expectCorruption(copy, path, 3 * BLOCK);
});

test("the first batch of the last segment was durable before the segment had its name", async () => {
  const disk = new SimulatedDisk();
  await writtenThenKilled(disk, [[accepted(1, 3 * BLOCK)]]);
  await writtenThenKilled(disk, []);
  const path = segmentPath(2);
  await expectCorruption(flipped(disk, path, BLOCK + 100, 1), path, BLOCK);
  const zeroed = damaged(disk, path, (bytes) => bytes.fill(0, BLOCK));
  await expectCorruption(zeroed, path, BLOCK);
});

test("every batch of a segment that a start wrote anew was durable before the segment had its name", async () => {
  const disk = new SimulatedDisk();
  await writtenThenKilled(disk, [[accepted(1)], [accepted(2)]]);
  await writtenThenKilled(disk, []);
  const path = segmentPath(1);
  for (const block of [1, 2, 3]) {
    await expectCorruption(flipped(disk, path, block * BLOCK + 30, 1), path, block * BLOCK);
  }
});

test("after a clean close damage to the last batch is corruption, not a torn tail", async () => {
  const disk = new SimulatedDisk();
  const log = logOn(disk);
  await log.open();
  await log.append([accepted(1)]);
  await log.append([accepted(2)]);
  await log.close();
  disk.restart();
  const path = segmentPath(1);
  await expectCorruption(flipped(disk, path, 3 * BLOCK + 50, 0), path, 3 * BLOCK);
});

test("a missing segment is corruption", async () => {
  const disk = await writtenDisk();
  for (const missing of [1, 2]) {
    const copy = disk.copy();
    copy.delete(segmentPath(missing));
    await expectCorruption(copy, segmentPath(missing), 0);
  }
});

test("a log whose segments are all gone is not a new log", async () => {
  const disk = await writtenDisk();
  for (const segment of [1, 2, 3]) disk.delete(segmentPath(segment));
  await expectCorruption(disk, segmentPath(1), 0);
});

test("an earlier segment that was cut off is corruption", async () => {
  const disk = await writtenDisk();
  for (let blocks = 2; blocks < 8; blocks += 1) {
    const path = segmentPath(1);
    const copy = disk.copy();
    copy.overwrite(path, disk.read(path).subarray(0, blocks * BLOCK));
    await expectCorruption(copy, path, blocks * BLOCK);
  }
});

test("an empty segment file is corruption", async () => {
  const disk = await writtenDisk();
  for (const segment of [1, 2, 3]) {
    const copy = disk.copy();
    copy.overwrite(segmentPath(segment), new Uint8Array(0));
    await expectCorruption(copy, segmentPath(segment), 0);
  }
});

test("segments in each other's place are corruption", async () => {
  const disk = await writtenDisk();
  const second = disk.read(segmentPath(2));
  disk.overwrite(segmentPath(2), disk.read(segmentPath(3)));
  disk.overwrite(segmentPath(3), second);
  await expectCorruption(disk, segmentPath(2), 0);
});

test("a batch written over another one is corruption", async () => {
  const disk = await writtenDisk();
  const path = segmentPath(1);
  const copy = damaged(disk, path, (bytes) => bytes.copyWithin(3 * BLOCK, 5 * BLOCK, 6 * BLOCK));
  await expectCorruption(copy, path, 3 * BLOCK);
});

/** One log that went on in two ways from the same first record, as from a copied disk. */
async function twoHistories(): Promise<readonly [SimulatedDisk, SimulatedDisk]> {
  const one = new SimulatedDisk();
  await writtenThenKilled(one, [[accepted(1, 3 * BLOCK)]]);
  const other = one.copy();
  const groups = (bytes: number): ReturnType<typeof acceptedRange>[] =>
    acceptedRange(2, 9, bytes).map((record) => [record]);
  await writtenThenKilled(one, groups(100));
  await writtenThenKilled(other, groups(200));
  return [one, other];
}

test("a segment from another history of the same log is corruption", async () => {
  const [one, other] = await twoHistories();
  one.overwrite(segmentPath(3), other.read(segmentPath(3)));
  await expectCorruption(one, segmentPath(3), 0);
});

test("a batch from another history of the same log is corruption", async () => {
  const [one, other] = await twoHistories();
  const foreign = other.read(segmentPath(2)).subarray(6 * BLOCK, 7 * BLOCK);
  const copy = damaged(one, segmentPath(2), (bytes) => {
    bytes.set(foreign, 6 * BLOCK);
  });
  await expectCorruption(copy, segmentPath(2), 6 * BLOCK);
});

test("a segment of a later format is refused, not cut off", async () => {
  const disk = await writtenDisk();
  const path = segmentPath(3);
  const copy = damaged(disk, path, (bytes) => {
    const view = new DataView(bytes.buffer);
    view.setUint32(8, 3, true);
    view.setUint32(BLOCK - 4, crc32(bytes.subarray(0, BLOCK - 4)), true);
  });
  await expectCorruption(copy, path, 0);
  expect(String(await openError(copy))).toContain("format version 3");
});

test("a segment of another log is foreign", async () => {
  const disk = await writtenDisk();
  const owner = JSON.stringify({ clusterId: "test", nodeId: 1, storageId: "another-disk" });
  const header = encodeSegmentHeader({ owner, segment: 4, firstBatch: 22, chain: 1 });
  disk.overwrite(segmentPath(4), new Uint8Array(SEGMENT_BYTES));
  const copy = damaged(disk, segmentPath(4), (bytes) => {
    bytes.set(header);
  });
  const error = await openError(copy);
  expect(error).toBeInstanceOf(LogIdentityMismatch);
  expect(String(error)).toContain("another-disk");
});

test("a client's value that looks like batches of this log does not count as one", async () => {
  const source = await writtenDisk();
  const lookalike = source.read(segmentPath(1)).subarray(3 * BLOCK, 6 * BLOCK);
  const disk = new SimulatedDisk();
  // Aligned within the batch as if they stood there by themselves, and the batch itself torn.
  const value = new Uint8Array(BLOCK - 44 - 21 + lookalike.length);
  value.set(lookalike, BLOCK - 44 - 21);
  await writtenThenKilled(disk, [[accepted(1)], [{ ...accepted(2), value } as never]]);
  const torn = damaged(disk, segmentPath(1), (bytes) => bytes.fill(0, 3 * BLOCK, 3 * BLOCK + 512));
  expect(described(await recordsOn(torn))).toBe(described([accepted(1)]));
});

test("an identity that cannot be read is a mismatch, not a new log", async () => {
  for (const text of ["", "{", "{}", '{"clusterId":"test","nodeId":1}', "null"]) {
    const disk = await writtenDisk();
    disk.overwrite(IDENTITY_PATH, new TextEncoder().encode(text));
    const error = await openError(disk);
    expect(error).toBeInstanceOf(LogIdentityMismatch);
    expect(String(error)).toContain("identity.json");
  }
});

test("a log that did not open gives its directory back", async () => {
  const disk = await writtenDisk();
  const bytes = disk.read(segmentPath(1));
  disk.overwrite(segmentPath(1), new Uint8Array(0));
  expect(await openError(disk)).toBeInstanceOf(LogCorruption);
  disk.overwrite(segmentPath(1), bytes);
  expect(described(await recordsOn(disk))).toBe(described(WRITTEN));
});

test.each(["000000002.segment", "2.segment", "4294967296.segment", "copy of 00000002.segment"])(
  "%s is no segment's name, and not overlooked",
  async (name) => {
    const disk = await writtenDisk();
    const path = join(DIRECTORY, "log", name);
    disk.overwrite(path, disk.read(segmentPath(2)));
    await expectCorruption(disk, path, 0);
  },
);
