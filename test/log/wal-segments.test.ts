/** How batches are spread over writes and files. */
import {
  constants,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AppendQueue } from "../../coordinator/log/wal/append-queue.ts";
import { LogDirectory } from "../../coordinator/log/wal/log-directory.ts";
import { scan } from "../../coordinator/log/wal/recovery.ts";
import { SegmentWriter } from "../../coordinator/log/wal/segment-writer.ts";
import { makeBlankSegment } from "../../coordinator/log/wal/segment.ts";
import { systemDisk } from "../../coordinator/log/wal/system-disk.ts";
import { WriteAheadLog } from "../../coordinator/log/wal/wal.ts";
import type { DurableRecord } from "../../coordinator/paxos/record.ts";
import { InvariantViolation } from "../../shared/model/assert.ts";
import { slot } from "../../shared/model/ids.ts";
import { accepted, acceptedRange, described, IDENTITY } from "./records.ts";
import { SimulatedDisk } from "./simulated-disk.ts";
import { nothingSurvives } from "./simulated-medium.ts";
import {
  BLOCK,
  DIRECTORY,
  IDENTITY_PATH,
  openedOn,
  recordsOn,
  SEGMENT_BYTES,
  segmentPath,
  writtenThenKilled,
} from "./wal-fixture.ts";

const writesOf = (disk: SimulatedDisk): number =>
  disk.performed.filter((operation) => operation === "durableWrite").length;

test("appends of one turn share one write", async () => {
  const disk = new SimulatedDisk();
  const log = await openedOn(disk);
  disk.performed = [];
  await Promise.all(acceptedRange(1, 20).map((record) => log.append([record])));
  expect(disk.performed).toEqual(["durableWrite"]);
});

test("what is appended during a write shares the next one", async () => {
  const disk = new SimulatedDisk();
  const log = await openedOn(disk);
  disk.performed = [];
  const first = log.append([accepted(1)]);
  await Promise.resolve();
  await Promise.resolve();
  await Promise.all([first, ...acceptedRange(2, 20).map((record) => log.append([record]))]);
  expect(writesOf(disk)).toBe(2);
});

test("an empty append writes nothing", async () => {
  const disk = new SimulatedDisk();
  const log = await openedOn(disk);
  disk.performed = [];
  await log.append([]);
  expect(disk.performed).toEqual([]);
});

test("batches roll over into segments that were made before they were needed", async () => {
  const disk = new SimulatedDisk();
  await writtenThenKilled(
    disk,
    acceptedRange(1, 30).map((record) => [record]),
  );
  const segments = disk.paths.filter((path) => path.endsWith(".segment"));
  expect(segments.length).toBe(5);
  expect(described(await recordsOn(disk))).toBe(described(acceptedRange(1, 30)));
});

test.each([7 * BLOCK, 8 * BLOCK, 50 * BLOCK])(
  "a batch of %i bytes fits, though segments have eight blocks",
  async (bytes) => {
    const disk = new SimulatedDisk();
    const records = [accepted(1), accepted(2, bytes), accepted(3), accepted(4, bytes), accepted(5)];
    await writtenThenKilled(
      disk,
      records.map((record) => [record]),
    );
    disk.losePower(nothingSurvives);
    expect(described(await recordsOn(disk))).toBe(described(records));
    expect(described(await recordsOn(disk))).toBe(described(records));
  },
);

test("a very large group is written in several batches, in order", async () => {
  const disk = new SimulatedDisk();
  const log = await openedOn(disk);
  disk.performed = [];
  const records = acceptedRange(1, 40, 100_000);
  await Promise.all(records.map((record) => log.append([record])));
  expect(writesOf(disk)).toBeGreaterThanOrEqual(4);
  await log.close();
  expect(described(await recordsOn(disk))).toBe(described(records));
});

test("the queue of what waits is bounded, and takes more when some was taken out", () => {
  const queue = new AppendQueue();
  const value = new Uint8Array(100 * 1024 * 1024);
  const append = {
    records: [{ ...accepted(1), value } as DurableRecord],
    resolve: () => undefined,
    reject: () => undefined,
  };
  expect([queue.push(append), queue.push(append), queue.push(append)]).toEqual([true, true, false]);
  expect(queue.take()).toEqual([append]);
  expect(queue.push(append)).toBe(true);
});

test("opening gives back what a killed process preallocated", async () => {
  const disk = new SimulatedDisk();
  await writtenThenKilled(disk, [[accepted(1, 3 * BLOCK)]]);
  await openedOn(disk);
  // Header, opening batch, the record.
  expect(disk.read(segmentPath(1)).length).toBe(6 * BLOCK);
  expect(disk.paths.filter((path) => path.endsWith(".draft"))).toEqual([]);
});

test("lives and rollovers leave no file descriptor open", async () => {
  const directory = mkdtempSync(join(tmpdir(), "synod-descriptors-"));
  const descriptors = (): number => readdirSync("/proc/self/fd").length;
  const live = async (): Promise<void> => {
    const log = new WriteAheadLog({ directory, identity: IDENTITY, segmentBytes: 8 * BLOCK });
    await log.open();
    for (let count = 1; count <= 20; count += 1) await log.append([accepted(count)]);
    await log.close();
  };
  await live();
  const before = descriptors();
  for (let life = 0; life < 3; life += 1) await live();
  expect(descriptors()).toBe(before);
  rmSync(directory, { recursive: true });
});

/** Flags of the descriptor that this process has open for a file, from /proc. */
function openFlags(path: string): number | undefined {
  for (const descriptor of readdirSync("/proc/self/fd")) {
    try {
      if (readlinkSync(`/proc/self/fd/${descriptor}`) !== path) continue;
    } catch {
      // The descriptor that listed the directory is gone.
      continue;
    }
    const [, flags] =
      /flags:\s+(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${descriptor}`, "utf8")) ?? [];
    return Number.parseInt(flags ?? "", 8);
  }
  return undefined;
}

test("on Linux the system itself makes every write to a segment durable", async () => {
  if (process.platform !== "linux") return;
  const directory = mkdtempSync(join(tmpdir(), "synod-flags-"));
  const log = new WriteAheadLog({ directory, identity: IDENTITY });
  await log.open();
  const flags = openFlags(join(directory, "log", "00000001.segment"));
  expect((flags ?? 0) & constants.O_DSYNC).not.toBe(0);
  await log.close();
  rmSync(directory, { recursive: true });
});

test("a closed segment has the size of its batches", async () => {
  const directory = mkdtempSync(join(tmpdir(), "synod-size-"));
  const log = new WriteAheadLog({ directory, identity: IDENTITY });
  await log.open();
  await log.append([accepted(1)]);
  await log.close();
  // Header, opening batch, the record, its witness.
  expect(statSync(join(directory, "log", "00000001.segment")).size).toBe(4 * BLOCK);
  rmSync(directory, { recursive: true });
});

test("the system's disk refuses to make a file twice and replaces by renaming", async () => {
  const directory = mkdtempSync(join(tmpdir(), "synod-disk-"));
  const [one, two] = [join(directory, "one"), join(directory, "two")];
  for (const path of [one, two]) {
    const file = await systemDisk.create(path);
    await file.write(new TextEncoder().encode(path), 0);
    await file.sync();
    await file.close();
  }
  await expect(systemDisk.create(one)).rejects.toThrow("EEXIST");
  systemDisk.rename(one, two);
  await systemDisk.syncDirectory(directory);
  expect(systemDisk.list(directory)).toEqual(["two"]);
  expect(new TextDecoder().decode(systemDisk.read(two))).toBe(one);
  expect(new TextDecoder().decode(systemDisk.readPart(two, 0, 4))).toBe(one.slice(0, 4));
  rmSync(directory, { recursive: true });
});

test("segments go on, and are found, in order and removed, where their numbers need a ninth digit", async () => {
  const disk = new SimulatedDisk();
  await writtenThenKilled(disk, []);
  const owner = new TextDecoder().decode(disk.read(IDENTITY_PATH));
  const directory = join(DIRECTORY, "log");
  const files = new LogDirectory(disk, directory);
  const found = scan(files.segments(), owner);
  if (found.kind !== "intact") throw new Error(found.kind);
  // As after a log of 1.6 PB, of which a snapshot stands for all but the end.
  const far = 99_999_998;
  const writer = new SegmentWriter({ disk, directory, owner, segmentBytes: SEGMENT_BYTES });
  await writer.goOn({
    ...{ ...found, firstNeeded: far, tail: { ...found.tail, segment: far } },
    segments: [{ segment: far, highestSlot: slot(0) }],
  });
  await files.removeSegments((segment) => segment < far);
  for (const record of acceptedRange(1, 30)) await writer.write([record]);
  disk.restart();
  const numbers = files.segments().map(({ segment }) => segment);
  expect(numbers[0]).toBe(far);
  expect(numbers.at(-1)).toBeGreaterThan(100_000_000);
  expect(described(await recordsOn(disk))).toBe(described(acceptedRange(1, 30)));
  await files.removeSegments((segment) => segment <= 100_000_000);
  expect(files.segments().every(({ segment }) => segment > 100_000_000)).toBe(true);
});

test("no segment is made whose number does not fit into its header", async () => {
  const blank = { segment: 2 ** 32, directory: DIRECTORY, bytes: BLOCK };
  await expect(makeBlankSegment(new SimulatedDisk(), blank)).rejects.toThrow(InvariantViolation);
});
