/**
 * Damage to snapshots, segments missing behind a truncation, and disks that fail while a snapshot is saved. A log without
 * what its last snapshot record names refuses to open or to be restored from, and names the place; it is never empty.
 */
import { LogCorruption, LogFailure } from "../../coordinator/log/log-store.ts";
import { snapshotName } from "../../coordinator/log/wal/snapshot-files.ts";
import { slot } from "../../shared/model/ids.ts";
import {
  accepted,
  acceptedRange,
  chunksOf,
  contentsOf,
  described,
  snapshotRecord,
} from "./records.ts";
import { SimulatedDisk, type Operation } from "./simulated-disk.ts";
import { nothingSurvives } from "./simulated-medium.ts";
import { eventually } from "../support/wait.ts";
import { BLOCK, DIRECTORY, logOn, openedOn, segmentPath } from "./wal-fixture.ts";

const AT = 9;
const LENGTHS = [30, 50, 1];
const FILE = `${DIRECTORY}/log/${snapshotName(slot(AT))}`;
/** Where the chunks begin, and the trailer. */
const OFFSETS = [BLOCK, BLOCK + 42, BLOCK + 104, BLOCK + 117] as const;
const TRAILER_BYTES = 3 * 4 + 24;
const FILE_BYTES = OFFSETS[3] + TRAILER_BYTES;

/** Segments 1 and 2 are removed; 3 and 4 hold slots 7 to 12, and the record. */
async function diskWithSnapshot(): Promise<SimulatedDisk> {
  const disk = new SimulatedDisk();
  const log = await openedOn(disk);
  for (const record of acceptedRange(1, AT, 9000)) await log.append([record]);
  await log.saveSnapshot(slot(AT), chunksOf(AT, LENGTHS));
  await log.append([snapshotRecord(AT, 6)]);
  for (const record of acceptedRange(AT + 1, 12, 9000)) await log.append([record]);
  await log.close();
  disk.losePower(nothingSurvives);
  return disk;
}

function damaged(
  disk: SimulatedDisk,
  path: string,
  damage: (bytes: Uint8Array) => Uint8Array,
): SimulatedDisk {
  const copy = disk.copy();
  copy.overwrite(path, damage(copy.read(path)));
  return copy;
}

/** Opens the log and reads its snapshot: what a node does when it starts. */
async function startError(disk: SimulatedDisk): Promise<unknown> {
  try {
    const { records, snapshot } = await logOn(disk).open();
    return `opened with ${described(records)} and ${contentsOf(snapshot?.chunks() ?? [])}`;
  } catch (error) {
    return error;
  }
}

async function expectCorruption(disk: SimulatedDisk, file: string, offset: number): Promise<void> {
  const error = await startError(disk);
  expect(error).toBeInstanceOf(LogCorruption);
  expect(error).toMatchObject({ file, offset });
  expect((error as Error).message).toContain(`${file} at offset ${offset}`);
  expect((error as Error).message).toContain("must not vote");
}

/** Of the part that holds this byte. */
function startOfPart(at: number): number {
  if (at < BLOCK) return 0;
  const offset = OFFSETS.findLast((start) => start <= at) ?? 0;
  return offset === OFFSETS[3] ? FILE_BYTES - 24 : offset;
}

test("the disk of the tests below opens, and its first segments are gone", async () => {
  const disk = await diskWithSnapshot();
  const segments = disk.paths.filter((path) => path.endsWith(".segment"));
  expect(segments.length).toBeGreaterThanOrEqual(3);
  expect(segments).not.toContain(segmentPath(1));
  expect(disk.read(FILE).length).toBe(FILE_BYTES);
  const left = [
    ...acceptedRange(7, AT, 9000),
    snapshotRecord(AT, 6),
    ...acceptedRange(10, 12, 9000),
  ];
  expect(await startError(disk)).toBe(
    `opened with ${described(left)} and ${contentsOf(chunksOf(AT, LENGTHS))}`,
  );
});

test("a flipped bit anywhere in a snapshot is corruption of the part that it is in", async () => {
  const disk = await diskWithSnapshot();
  for (let at = 0; at < FILE_BYTES; at += at < BLOCK - 8 ? 113 : 1) {
    const copy = damaged(disk, FILE, (bytes) => {
      bytes[at] = (bytes[at] ?? 0) ^ (1 << (at % 8));
      return bytes;
    });
    await expectCorruption(copy, FILE, startOfPart(at));
  }
});

test("a damaged chunk never leaves the node, and the others still do", async () => {
  const disk = await diskWithSnapshot();
  for (let at: number = OFFSETS[1]; at < OFFSETS[2]; at += 1) {
    const copy = damaged(disk, FILE, (bytes) => {
      bytes[at] = (bytes[at] ?? 0) ^ 1;
      return bytes;
    });
    const log = await openedOn(copy);
    const reading = log.readSnapshotChunk(slot(AT), 1);
    await expect(reading).rejects.toMatchObject({ name: "LogCorruption", offset: OFFSETS[1] });
    expect((await log.readSnapshotChunk(slot(AT), 2))?.bytes).toHaveLength(1);
  }
});

test("a chunk that cannot be read is corruption, too", async () => {
  const disk = await diskWithSnapshot();
  const log = await openedOn(disk);
  disk.failNext("fetch", "EIO");
  await expect(log.readSnapshotChunk(slot(AT), 0)).rejects.toThrow("cannot be read (Error: EIO)");
});

test("a zeroed sector of a snapshot is corruption", async () => {
  const disk = await diskWithSnapshot();
  // The header's padding holds zeros as it is.
  for (const from of [0, BLOCK - 512, BLOCK]) {
    const copy = damaged(disk, FILE, (bytes) => bytes.fill(0, from, from + 512));
    const isHeader = from < BLOCK;
    await expectCorruption(copy, FILE, isHeader ? 0 : FILE_BYTES - 24);
  }
});

test("a snapshot that was cut off at any byte is corruption", async () => {
  const disk = await diskWithSnapshot();
  for (let length = 0; length < FILE_BYTES; length += length < BLOCK - 8 ? 113 : 1) {
    const copy = damaged(disk, FILE, (bytes) => bytes.subarray(0, length));
    await expectCorruption(copy, FILE, length < BLOCK ? 0 : length - 24);
  }
});

test("a missing snapshot is corruption, and not a log without one", async () => {
  const disk = await diskWithSnapshot();
  disk.delete(FILE);
  await expectCorruption(disk, FILE, 0);
});

test("another slot's or another log's snapshot in its place is corruption", async () => {
  const disk = await diskWithSnapshot();
  const later = disk.copy();
  const log = await openedOn(later);
  await log.saveSnapshot(slot(12), chunksOf(AT, LENGTHS));
  const other = await diskWithSnapshot();
  for (const [from, path] of [
    [later, FILE.replace("9.snapshot", "2.snapshot").replace("00002", "00012")],
    [other, FILE],
  ] as const) {
    const copy = disk.copy();
    copy.overwrite(FILE, from.read(path));
    await expectCorruption(copy, FILE, 0);
  }
});

test("a segment that is missing behind the truncation is corruption, and is named", async () => {
  const disk = await diskWithSnapshot();
  const numbers = disk.paths
    .flatMap((path) => /(\d{8})\.segment$/.exec(path)?.[1] ?? [])
    .map(Number);
  for (const missing of numbers.slice(0, -1)) {
    const copy = disk.copy();
    copy.delete(segmentPath(missing));
    await expectCorruption(copy, segmentPath(missing), 0);
  }
});

test("a truncation that removed segments in any order is finished by the next opening", async () => {
  const full = new SimulatedDisk();
  const log = await openedOn(full);
  for (const record of acceptedRange(1, 8, 9000)) await log.append([record]);
  await log.saveSnapshot(slot(8), chunksOf(8, LENGTHS));
  // The record is durable, and the process ends within the first removal.
  full.hangNext("remove");
  await log.append([snapshotRecord(8)]);
  full.restart();
  const numbers = full.paths
    .flatMap((path) => /(\d{8})\.segment$/.exec(path)?.[1] ?? [])
    .map(Number);
  const removable = numbers.slice(0, -1);
  expect(removable.length).toBeGreaterThanOrEqual(2);
  for (let subset = 0; subset < 2 ** removable.length; subset += 1) {
    const disk = full.copy();
    for (const [index, segment] of removable.entries()) {
      const isThere = disk.exists(segmentPath(segment));
      if (subset & (1 << index) && isThere) disk.delete(segmentPath(segment));
    }
    const { records, snapshot } = await logOn(disk).open();
    expect(described(records)).toBe(described([snapshotRecord(8)]));
    expect(contentsOf(snapshot?.chunks() ?? [])).toBe(contentsOf(chunksOf(8, LENGTHS)));
    for (const segment of removable) expect(disk.exists(segmentPath(segment))).toBe(false);
  }
});

const SAVING: readonly Operation[] = [
  "create",
  "write",
  "sync",
  "close",
  "rename",
  "syncDirectory",
];

test.each(SAVING)(
  "a disk that is full or fails at '%s' of a snapshot fails the log, and loses nothing",
  async (operation) => {
    const disk = await diskWithSnapshot();
    const before = await startError(disk.copy());
    const log = await openedOn(disk);
    disk.failNext(operation, "ENOSPC: no space left on device");
    const saving = log.saveSnapshot(slot(12), chunksOf(12, LENGTHS));
    await expect(saving).rejects.toThrow(LogFailure);
    await expect(saving).rejects.toThrow("ENOSPC");
    await expect(log.append([accepted(13)])).rejects.toThrow(LogFailure);
    await log.close();
    disk.losePower(nothingSurvives);
    expect(await startError(disk)).toBe(before);
  },
);

test.each(SAVING)(
  "a snapshot that hangs at '%s' holds up no append, and does not count",
  async (operation) => {
    const disk = await diskWithSnapshot();
    const log = await openedOn(disk);
    disk.hangNext(operation);
    let ended = false;
    const end = (): boolean => (ended = true);
    log.saveSnapshot(slot(12), chunksOf(12, LENGTHS)).then(end, end);
    for (const at of [13, 14]) await log.append([accepted(at)]);
    expect(ended).toBe(false);
    disk.losePower(nothingSurvives);
    const { records, snapshot } = await logOn(disk).open();
    expect(snapshot?.slot).toBe(AT);
    expect(described(records)).toContain(described([accepted(13), accepted(14)]));
  },
);

test.each([1, 13, 511])(
  "short writes of %i bytes are gone on with in snapshots, too",
  async (maxWriteBytes) => {
    const disk = await diskWithSnapshot();
    const log = await openedOn(disk);
    disk.maxWriteBytes = maxWriteBytes;
    await log.saveSnapshot(slot(12), chunksOf(12, LENGTHS));
    await log.append([snapshotRecord(12)]);
    disk.losePower(nothingSurvives);
    disk.maxWriteBytes = Infinity;
    const { snapshot } = await logOn(disk).open();
    expect(contentsOf(snapshot?.chunks() ?? [])).toBe(contentsOf(chunksOf(12, LENGTHS)));
  },
);

test("a removal that fails fails the log", async () => {
  const disk = await diskWithSnapshot();
  const log = await openedOn(disk);
  await log.saveSnapshot(slot(12), chunksOf(12, LENGTHS));
  disk.failNext("remove", "EIO");
  await log.append([snapshotRecord(12)]);
  await log.close();
  await expect(log.append([])).rejects.toThrow("EIO");
});

test("the file of a snapshot that is kept stays until it is let go, or until the next opening", async () => {
  const disk = await diskWithSnapshot();
  const log = await openedOn(disk);
  log.keepSnapshots(new Set([slot(AT)]));
  for (const at of [10, 11]) {
    await log.saveSnapshot(slot(at), chunksOf(at, LENGTHS));
    await log.append([snapshotRecord(at, 6)]);
  }
  const left = (of: SimulatedDisk): readonly string[] =>
    of.list(`${DIRECTORY}/log`).filter((name) => name.includes("snapshot"));
  const names = [AT, 11].map((at) => snapshotName(slot(at)));
  await eventually("the one in between is gone", () => left(disk).length === 2);
  expect(left(disk)).toEqual(names);
  const killed = disk.copy();
  killed.restart();
  log.keepSnapshots(new Set());
  await log.close();
  expect(left(disk)).toEqual(names.slice(1));
  await openedOn(killed);
  expect(left(killed)).toEqual(names.slice(1));
});
