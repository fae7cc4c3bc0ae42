/** A disk that fails once has failed for good: nothing is acknowledged after it, and nothing before it is lost. */
import { LogFailure } from "../../coordinator/log/log-store.ts";
import { accepted, acceptedRange, described } from "./records.ts";
import { SimulatedDisk, type Operation } from "./simulated-disk.ts";
import { everythingSurvives, nothingSurvives } from "./simulated-medium.ts";
import { logOn, openedOn, recordsOn } from "./wal-fixture.ts";

async function failureOf(append: Promise<void>): Promise<LogFailure> {
  const error: unknown = await append.catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(LogFailure);
  return error as LogFailure;
}

test("a failed write rejects its append and every later one, though the disk is well again", async () => {
  const disk = new SimulatedDisk();
  const log = await openedOn(disk);
  await log.append([accepted(1)]);
  disk.failNext("durableWrite", "EIO: the medium is gone");
  const failure = await failureOf(log.append([accepted(2)]));
  expect(failure.message).toContain("EIO: the medium is gone");
  expect(await failureOf(log.append([accepted(3)]))).toBe(failure);
  expect(await failureOf(log.append([]))).toBe(failure);
  await log.close();
  expect(await failureOf(log.append([accepted(4)]))).toBe(failure);
});

test("what waits behind a failed write is rejected with it", async () => {
  const disk = new SimulatedDisk();
  const log = await openedOn(disk);
  disk.failNext("durableWrite", "EIO");
  const first = failureOf(log.append([accepted(1)]));
  await Promise.resolve();
  await Promise.resolve();
  const second = failureOf(log.append([accepted(2)]));
  expect(await first).toBe(await second);
});

test("after a failed write nothing more is written, not even at close", async () => {
  const disk = new SimulatedDisk();
  const log = await openedOn(disk);
  disk.failNext("durableWrite", "EIO");
  await failureOf(log.append([accepted(1)]));
  disk.performed = [];
  await failureOf(log.append([accepted(2)]));
  await log.close();
  expect(disk.performed).toEqual(["close"]);
});

test("a batch that only the cache shows after a failed sync is made durable before it counts", async () => {
  const disk = new SimulatedDisk();
  const log = await openedOn(disk);
  await log.append([accepted(1)]);
  disk.failNext("durableWrite", "EIO: pages dropped");
  await failureOf(log.append([accepted(2)]));
  disk.restart();
  const seen = (await logOn(disk).open()).records;
  expect(described(seen)).toBe(described(acceptedRange(1, 2)));
  disk.losePower(nothingSurvives);
  expect(described(await recordsOn(disk))).toBe(described(seen));
});

test.each([1, 512, 4095])("short writes of %i bytes are gone on with", async (maxWriteBytes) => {
  const disk = new SimulatedDisk();
  const log = await openedOn(disk);
  disk.maxWriteBytes = maxWriteBytes;
  await log.append([accepted(1, 6000)]);
  await log.append([accepted(2)]);
  disk.losePower(nothingSurvives);
  disk.maxWriteBytes = Infinity;
  const expected = [accepted(1, 6000), accepted(2)];
  expect(described(await recordsOn(disk))).toBe(described(expected));
});

test("a disk that takes no byte and calls it success is a failed disk", async () => {
  const disk = new SimulatedDisk();
  const log = await openedOn(disk);
  disk.maxWriteBytes = 0;
  const failure = await failureOf(log.append([accepted(1)]));
  expect(failure.message).toContain("the disk takes no more bytes");
});

/** Every kind of operation that making and beginning the next segment needs. */
const NEXT_SEGMENT: readonly Operation[] = [
  "create",
  "write",
  "sync",
  "openDurable",
  "rename",
  "syncDirectory",
];

test.each(NEXT_SEGMENT)(
  "a full disk met by '%s' for the next segment fails the log when it needs it, and loses nothing",
  async (operation) => {
    const disk = new SimulatedDisk();
    const log = await openedOn(disk);
    disk.failNext(operation, "ENOSPC: no space left on device");
    let acknowledged = 0;
    const failure = await failureOf(
      (async () => {
        for (;;) {
          await log.append([accepted(acknowledged + 1)]);
          acknowledged += 1;
        }
      })(),
    );
    expect(failure.message).toContain("ENOSPC");
    expect(acknowledged).toBe(6);
    await log.close();
    disk.losePower(nothingSurvives);
    const records = await recordsOn(disk);
    expect(described(records.slice(0, 6))).toBe(described(acceptedRange(1, 6)));
    expect(records.length).toBeLessThanOrEqual(7);
  },
);

test("a log that failed while it was opened opens when the disk is well, with all it had", async () => {
  const operations: readonly Operation[] = [...NEXT_SEGMENT, "durableWrite", "truncate", "close"];
  for (const operation of operations) {
    for (const survives of [nothingSurvives, everythingSurvives]) {
      const disk = new SimulatedDisk();
      const log = await openedOn(disk);
      // More than half of an opening segment: a new one begins behind it, and it is cut off.
      await log.append([accepted(1, 9000)]);
      await log.append([accepted(2)]);
      disk.restart();
      disk.failNext(operation, "EIO");
      await expect(logOn(disk).open()).rejects.toThrow("EIO");
      disk.losePower(survives);
      expect(described(await recordsOn(disk))).toBe(described([accepted(1, 9000), accepted(2)]));
    }
  }
});

test("a hung sync acknowledges nothing, and what waits behind it waits, too", async () => {
  const disk = new SimulatedDisk();
  const log = await openedOn(disk);
  await log.append([accepted(1)]);
  disk.hangNext("durableWrite");
  let acknowledged = 0;
  for (const at of [2, 3]) {
    void log.append([accepted(at)]).then(() => (acknowledged += 1));
    for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
  }
  expect(acknowledged).toBe(0);
  expect(disk.performed.at(-1)).toBe("durableWrite");
  disk.losePower(nothingSurvives);
  expect(described(await recordsOn(disk))).toBe(described([accepted(1)]));
});

test("a disk that is full in the middle of a batch leaves a log that opens", async () => {
  for (let written = 0; written < 3; written += 1) {
    const disk = new SimulatedDisk();
    const log = await openedOn(disk);
    await log.append([accepted(1)]);
    disk.maxWriteBytes = 4096;
    disk.failNext("durableWrite", "ENOSPC: no space left on device", written);
    await failureOf(log.append([accepted(2, 9000)]));
    disk.maxWriteBytes = Infinity;
    disk.losePower(nothingSurvives);
    expect(described(await recordsOn(disk))).toBe(described([accepted(1)]));
  }
});
