/**
 * Processes end and the power goes at any operation on the disk. What was acknowledged is there afterwards, in order; what was
 * not may follow, as a prefix of what was written.
 */
import { seeded, SURVIVALS, untilEnd } from "./lives.ts";
import { acceptedRange } from "./records.ts";
import { SimulatedDisk, type Operation } from "./simulated-disk.ts";
import { nothingSurvives } from "./simulated-medium.ts";
import { GROUPS, live, nothingKnown } from "./known-life.ts";
import { logOn } from "./wal-fixture.ts";

async function operationsOfALife(): Promise<number> {
  const disk = new SimulatedDisk();
  await live(disk, nothingKnown(), GROUPS);
  return disk.performed.length;
}

test.each(Object.entries(SURVIVALS))(
  "power lost at every operation of a log's first life: %s",
  async (_, survival) => {
    const operations = await operationsOfALife();
    expect(operations).toBeGreaterThan(50);
    for (let at = 0; at < operations; at += 1) {
      const disk = new SimulatedDisk();
      const knowledge = nothingKnown();
      disk.endAfter(at);
      expect(await untilEnd(disk, live(disk, knowledge, GROUPS))).toBe("ended");
      disk.losePower(survival());
      await live(disk, knowledge, GROUPS);
      disk.losePower(nothingSurvives);
      await live(disk, knowledge, []);
    }
  },
);

test.each(Object.entries(SURVIVALS))(
  "power lost at every operation of opening, twice in a row: %s",
  async (_, survival) => {
    const before = new SimulatedDisk();
    const known = nothingKnown();
    before.endAfter(60);
    await untilEnd(before, live(before, known, GROUPS));
    before.losePower(survival());
    for (let first = 0; first < 14; first += 1) {
      for (let second = 0; second < 14; second += 1) {
        const disk = before.copy();
        const knowledge = { ...known, certain: [...known.certain] };
        for (const at of [first, second]) {
          disk.endAfter(at);
          await untilEnd(disk, live(disk, knowledge, []));
          disk.losePower(survival());
        }
        await live(disk, knowledge, [[100]]);
        disk.losePower(nothingSurvives);
        await live(disk, knowledge, []);
      }
    }
  },
);

test("a process killed at every operation, with the caches intact, loses nothing", async () => {
  const operations = await operationsOfALife();
  for (let at = 0; at < operations; at += 1) {
    const disk = new SimulatedDisk();
    const knowledge = nothingKnown();
    disk.endAfter(at);
    await untilEnd(disk, live(disk, knowledge, GROUPS));
    disk.restart();
    await live(disk, knowledge, GROUPS);
    disk.losePower(nothingSurvives);
    await live(disk, knowledge, []);
  }
});

/** A dozen lives each. */
const SEEDS = 100;

const FAILING: readonly Operation[] = ["durableWrite", "sync", "syncDirectory", "rename", "create"];

/** Lives that end by kills, power losses and failing operations, one after another on one disk. */
async function manyLives(seed: number): Promise<number> {
  const random = seeded(seed);
  const below = (limit: number): number => Math.floor(random() * limit);
  const disk = new SimulatedDisk();
  const knowledge = nothingKnown();
  const size = (): number => (below(12) === 0 ? below(50_000) : below(2_000));
  for (let life = 0; life < 12; life += 1) {
    disk.maxWriteBytes = below(4) === 0 ? 512 + below(8_000) : Infinity;
    if (below(3) > 0) disk.endAfter(below(below(2) === 0 ? 20 : 120));
    const operation = FAILING[below(FAILING.length)];
    if (below(3) === 0 && operation !== undefined) disk.failNext(operation, "EIO", below(6));
    const groups = Array.from({ length: below(12) }, () =>
      Array.from({ length: 1 + below(4) }, size),
    );
    await untilEnd(disk, live(disk, knowledge, groups));
    const chance = random();
    if (below(3) === 0) disk.restart();
    else disk.losePower(() => random() < chance);
  }
  disk.maxWriteBytes = Infinity;
  await live(disk, knowledge, []);
  return knowledge.certain.length;
}

test("whatever faults a disk may have, in random order, no acknowledged record is lost", async () => {
  let records = 0;
  for (let seed = 1; seed <= SEEDS; seed += 1) {
    try {
      records += await manyLives(seed);
    } catch (error) {
      throw new Error(`seed ${seed}`, { cause: error });
    }
  }
  expect(records).toBeGreaterThan(SEEDS * 20);
});

test("records of one append are there together or not at all", async () => {
  const counts = new Set<number>();
  for (let seed = 1; seed <= 60; seed += 1) {
    const random = seeded(seed);
    const disk = new SimulatedDisk();
    const log = logOn(disk);
    await log.open();
    disk.endAfter(0);
    void log.append(acceptedRange(1, 30, 500));
    await disk.whenEnded;
    const chance = seed % 3 === 0 ? 1 : 0.9;
    disk.losePower(() => random() < chance);
    counts.add((await logOn(disk).open()).records.length);
  }
  expect([...counts].sort()).toEqual([0, 30]);
});
