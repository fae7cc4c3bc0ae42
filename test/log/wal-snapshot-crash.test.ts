/**
 * Processes end and the power goes at any operation while snapshots are saved and named, and segments removed. The log opens
 * afterwards, and what it holds is what was acknowledged, or some of what was not behind it: the records that the last
 * snapshot record leaves, and that snapshot, whole.
 */
import type { LogContents } from "../../coordinator/log/log-store.ts";
import type { WriteAheadLog } from "../../coordinator/log/wal/wal.ts";
import type { DurableRecord } from "../../coordinator/paxos/record.ts";
import { slot } from "../../shared/model/ids.ts";
import { seeded, SURVIVALS, untilEnd } from "./lives.ts";
import { accepted, chunksOf, contentsOf, described, snapshotRecord } from "./records.ts";
import { SimulatedDisk, type Operation } from "./simulated-disk.ts";
import { nothingSurvives } from "./simulated-medium.ts";
import { logOn, SEGMENT_BYTES } from "./wal-fixture.ts";

/** Everything that was ever given to the log, in order, also what a snapshot stands for by now. */
interface Knowledge {
  readonly certain: DurableRecord[];
  possible: readonly DurableRecord[];
  /** Accepted slots so far. */
  slots: number;
}

const nothingKnown = (): Knowledge => ({ certain: [], possible: [], slots: 0 });

type Step =
  | { readonly append: readonly number[] }
  /** Of what was appended before; `keep` slots stay in the log, and others are appended while it is being saved. */
  | {
      readonly snapshot: "named" | "unnamed";
      readonly keep: number;
      readonly meanwhile: readonly number[];
    };

const LENGTHS = [300, 5000, 1];

async function live(disk: SimulatedDisk, known: Knowledge, steps: readonly Step[]): Promise<void> {
  const log = logOn(disk);
  check(known, await log.open());
  for (const step of steps) {
    if ("append" in step) {
      await appendAll(log, known, nextRecords(known, step.append));
      continue;
    }
    const at = known.slots;
    const records = nextRecords(known, step.meanwhile);
    const saving = log.saveSnapshot(slot(at), chunksOf(at, LENGTHS));
    await Promise.all([saving, appendAll(log, known, records)]);
    if (step.snapshot === "unnamed") continue;
    const truncated = Math.max(truncatedUpTo(known.certain), at - step.keep);
    await appendAll(log, known, [snapshotRecord(at, truncated)]);
  }
  await log.close();
}

function nextRecords(known: Knowledge, sizes: readonly number[]): readonly DurableRecord[] {
  return sizes.map((bytes) => accepted((known.slots += 1), bytes));
}

function truncatedUpTo(records: readonly DurableRecord[]): number {
  const last = records.findLast((record) => record.kind === "snapshot");
  return last?.truncatedUpTo ?? 0;
}

async function appendAll(
  log: WriteAheadLog,
  known: Knowledge,
  records: readonly DurableRecord[],
): Promise<void> {
  known.possible = records;
  await Promise.all(
    records.map(async (record) => {
      await log.append([record]);
      known.certain.push(record);
      known.possible = known.possible.slice(1);
    }),
  );
}

/** What a log says that was given `records`. */
function expected(records: readonly DurableRecord[]): string {
  const at = records.findLastIndex(({ kind }) => kind === "snapshot");
  const record = records[at];
  if (record?.kind !== "snapshot") return `${described(records)} and no snapshot`;
  const left = records.filter(
    (other, index) =>
      index >= at || (other.kind === "accepted" && other.slot > record.truncatedUpTo),
  );
  return `${described(left)} and ${contentsOf(chunksOf(record.slot, LENGTHS))}`;
}

function check(known: Knowledge, { records, snapshot }: LogContents): void {
  const content = snapshot === undefined ? "no snapshot" : contentsOf(snapshot.chunks());
  const found = `${described(records)} and ${content}`;
  const all = [...known.certain, ...known.possible];
  let count = known.certain.length;
  while (count < all.length && expected(all.slice(0, count)) !== found) count += 1;
  expect(found).toBe(expected(all.slice(0, count)));
  known.certain.splice(0, Infinity, ...all.slice(0, count));
  known.possible = [];
  known.slots = known.certain.filter(({ kind }) => kind === "accepted").length;
}

/** Three snapshots, of which one is never named; the last two leave segments behind. */
const STEPS: readonly Step[] = [
  { append: [100, 200] },
  { append: [9000] },
  { snapshot: "named", keep: 0, meanwhile: [] },
  { append: [100, 9000] },
  { append: [9000] },
  { append: [100] },
  { snapshot: "named", keep: 1, meanwhile: [100, 9000] },
  { append: [100] },
  { snapshot: "unnamed", keep: 0, meanwhile: [100] },
  { append: [9000] },
  { append: [9000] },
  { snapshot: "named", keep: 3, meanwhile: [] },
  { append: [100] },
];

async function operationsOfALife(): Promise<readonly Operation[]> {
  const disk = new SimulatedDisk();
  await live(disk, nothingKnown(), STEPS);
  return disk.performed;
}

const segmentsOn = (disk: SimulatedDisk): readonly string[] =>
  disk.paths.filter((path) => path.endsWith(".segment"));

test("the life that the tests below cut short removes segments and snapshots", async () => {
  const operations = await operationsOfALife();
  expect(operations.filter((operation) => operation === "remove").length).toBeGreaterThan(4);
  const disk = new SimulatedDisk();
  await live(disk, nothingKnown(), STEPS);
  expect(disk.paths.filter((path) => path.endsWith(".snapshot"))).toHaveLength(1);
  expect(segmentsOn(disk)[0]).not.toContain("00000001");
});

test.each(Object.entries(SURVIVALS))(
  "power lost at every operation of a life with snapshots: %s",
  async (_, survival) => {
    const { length } = await operationsOfALife();
    for (let at = 0; at < length; at += 1) {
      const disk = new SimulatedDisk();
      const known = nothingKnown();
      disk.endAfter(at);
      expect(await untilEnd(disk, live(disk, known, STEPS))).toBe("ended");
      disk.losePower(survival());
      await live(disk, known, STEPS);
      disk.losePower(nothingSurvives);
      await live(disk, known, []);
    }
  },
);

test("a process killed at every operation of a life with snapshots, with the caches intact", async () => {
  const { length } = await operationsOfALife();
  for (let at = 0; at < length; at += 1) {
    const disk = new SimulatedDisk();
    const known = nothingKnown();
    disk.endAfter(at);
    await untilEnd(disk, live(disk, known, STEPS));
    disk.restart();
    await live(disk, known, STEPS);
    disk.losePower(nothingSurvives);
    await live(disk, known, []);
  }
});

test.each(Object.entries(SURVIVALS))(
  "power lost at every operation of an opening that finishes what a crash left: %s",
  async (_, survival) => {
    const { length } = await operationsOfALife();
    for (let at = 5; at < length; at += 3) {
      const before = new SimulatedDisk();
      const knownBefore = nothingKnown();
      before.endAfter(at);
      await untilEnd(before, live(before, knownBefore, STEPS));
      before.losePower(survival());
      let end: "closed" | "ended" = "ended";
      for (let endAfter = 0; end === "ended"; endAfter += 1) {
        const disk = before.copy();
        const known = { ...knownBefore, certain: [...knownBefore.certain] };
        disk.endAfter(endAfter);
        end = await untilEnd(disk, live(disk, known, []));
        disk.losePower(survival());
        await live(disk, known, []);
      }
    }
  },
);

/** The batch that names a snapshot failed to be synced: the cache shows it, the medium does not have it. */
async function diskWithDroppedRecord(): Promise<{ disk: SimulatedDisk; known: Knowledge }> {
  const disk = new SimulatedDisk();
  const known = nothingKnown();
  const log = logOn(disk);
  check(known, await log.open());
  for (let count = 0; count < 3; count += 1) {
    await appendAll(log, known, nextRecords(known, [9000]));
  }
  await log.saveSnapshot(slot(3), chunksOf(3, LENGTHS));
  disk.failNext("durableWrite", "EIO: pages dropped");
  await expect(appendAll(log, known, [snapshotRecord(3)])).rejects.toThrow("EIO");
  disk.restart();
  return { disk, known };
}

test("a record that only the cache shows removes nothing before it is durable", async () => {
  let end: "closed" | "ended" = "ended";
  for (let at = 0; end === "ended"; at += 1) {
    const { disk, known } = await diskWithDroppedRecord();
    disk.endAfter(at);
    end = await untilEnd(disk, live(disk, known, []));
    disk.losePower(nothingSurvives);
    await live(disk, known, []);
  }
});

const FAILING: readonly Operation[] = [
  ...(["durableWrite", "write", "sync", "syncDirectory", "rename", "create", "remove"] as const),
];
const SEEDS = 100;

async function manyLives(seed: number): Promise<{ snapshots: number; segments: number }> {
  const random = seeded(seed);
  const below = (limit: number): number => Math.floor(random() * limit);
  const disk = new SimulatedDisk();
  const known = nothingKnown();
  const sizes = (): number[] =>
    Array.from({ length: 1 + below(3) }, () => (below(6) === 0 ? below(20_000) : below(2_000)));
  const step = (): Step => {
    if (below(4) > 0) return { append: sizes() };
    const snapshot = below(4) === 0 ? "unnamed" : "named";
    return { snapshot, keep: below(4), meanwhile: below(2) === 0 ? sizes() : [] };
  };
  for (let life = 0; life < 12; life += 1) {
    disk.maxWriteBytes = below(4) === 0 ? 512 + below(8_000) : Infinity;
    if (below(3) > 0) disk.endAfter(below(below(2) === 0 ? 20 : 120));
    const operation = FAILING[below(FAILING.length)];
    if (below(3) === 0 && operation !== undefined) disk.failNext(operation, "EIO", below(6));
    // A snapshot needs something new.
    const steps = Array.from({ length: below(12) }, step).flatMap((next) => [
      { append: [10] },
      next,
    ]);
    await untilEnd(disk, live(disk, known, steps));
    const chance = random();
    if (below(3) === 0) disk.restart();
    else disk.losePower(() => random() < chance);
  }
  disk.maxWriteBytes = Infinity;
  await live(disk, known, [{ append: [1] }, { snapshot: "named", keep: 0, meanwhile: [] }]);
  const snapshots = known.certain.filter(({ kind }) => kind === "snapshot").length;
  return { snapshots, segments: segmentsOn(disk).length };
}

test("whatever faults a disk may have, in random order, snapshots lose nothing and leave nothing", async () => {
  let total = 0;
  for (let seed = 1; seed <= SEEDS; seed += 1) {
    try {
      const { snapshots, segments } = await manyLives(seed);
      total += snapshots;
      expect(segments).toBeLessThanOrEqual(2);
    } catch (error) {
      throw new Error(`seed ${seed}`, { cause: error });
    }
  }
  expect(total).toBeGreaterThan(SEEDS * 4);
});

const bytesOn = (disk: SimulatedDisk): number =>
  disk.paths.reduce((sum, path) => sum + disk.lengthOf(path), 0);

test("many starts do not make the directory grow", async () => {
  const disk = new SimulatedDisk();
  const known = nothingKnown();
  await live(disk, known, STEPS);
  for (const end of ["closed", "killed"]) {
    const start = async (): Promise<void> => {
      if (end === "closed") return live(disk, known, []);
      check(known, await logOn(disk).open());
      disk.restart();
    };
    for (let count = 0; count < 3; count += 1) await start();
    const [bytes, files] = [bytesOn(disk), disk.paths.length];
    for (let count = 0; count < 50; count += 1) await start();
    expect([bytesOn(disk), disk.paths.length]).toEqual([bytes, files]);
  }
});

test("many lives with a record each fill segments before they begin others", async () => {
  const disk = new SimulatedDisk();
  const known = nothingKnown();
  for (let count = 0; count < 60; count += 1) await live(disk, known, [{ append: [100] }]);
  // A block for the record and one for its witness, in segments of which half may be used by earlier lives.
  expect(segmentsOn(disk).length).toBeLessThanOrEqual((60 * 2) / 2);
  expect(bytesOn(disk)).toBeLessThan(60 * 3 * (SEGMENT_BYTES / 8) + 2 * SEGMENT_BYTES);
});
