/** The last batch was being written when the power went: whatever is left of it, nothing acknowledged is lost. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { WriteAheadLog } from "../../coordinator/log/wal/wal.ts";
import type { DurableRecord } from "../../coordinator/paxos/record.ts";
import { accepted, acceptedRange, described, IDENTITY } from "./records.ts";
import { SimulatedDisk } from "./simulated-disk.ts";
import {
  BLOCK,
  endOfBatches,
  openedOn,
  recordsOn,
  segmentPath,
  writtenThenKilled,
} from "./wal-fixture.ts";

const BEFORE = acceptedRange(1, 3);
/** Three records in one batch, which ends within its block; the rest is padding. */
const LAST = acceptedRange(4, 6, 700);
const LAST_BYTES = 44 + 3 * (21 + 700);

/** Places in the last batch's block: each byte of the batch, and some of the padding. */
function* placesInLast(): Generator<number> {
  for (let at = 0; at < BLOCK; at += at < LAST_BYTES + 2 ? 1 : 61) yield 5 * BLOCK + at;
}

/** Batches: the opening one, three of one record, the last. */
async function diskWithLastBatch(): Promise<SimulatedDisk> {
  const disk = new SimulatedDisk();
  await writtenThenKilled(disk, [...BEFORE.map((record) => [record]), LAST]);
  return disk;
}

/** All of the last batch or none; then the log goes on and is read again. */
async function expectSurvival(disk: SimulatedDisk): Promise<void> {
  const log = await openedOn(disk);
  const next = accepted(7);
  await log.append([next]);
  disk.restart();
  const records = await recordsOn(disk);
  const survivors = records.slice(BEFORE.length, -1);
  const expected = [...BEFORE, ...(survivors.length === 0 ? [] : LAST), next];
  expect(described(records)).toBe(described(expected));
}

test("the last batch takes the block that the tests below tear", async () => {
  const bytes = (await diskWithLastBatch()).read(segmentPath(1));
  expect(endOfBatches(bytes)).toBe(6 * BLOCK);
});

test("a file cut off at any byte of the last batch keeps all earlier batches", async () => {
  const disk = await diskWithLastBatch();
  const bytes = disk.read(segmentPath(1));
  for (const length of placesInLast()) {
    const torn = disk.copy();
    torn.overwrite(segmentPath(1), bytes.subarray(0, length));
    await expectSurvival(torn);
  }
});

test("a last batch that is zeros from any byte on keeps all earlier batches", async () => {
  const disk = await diskWithLastBatch();
  const bytes = disk.read(segmentPath(1));
  for (const from of placesInLast()) {
    const torn = disk.copy();
    torn.overwrite(segmentPath(1), bytes.slice().fill(0, from));
    await expectSurvival(torn);
  }
});

test("a last batch of several blocks may miss any of its sectors", async () => {
  const disk = new SimulatedDisk();
  const large = [accepted(4, 9000)];
  await writtenThenKilled(disk, [...BEFORE.map((record) => [record]), large]);
  const bytes = disk.read(segmentPath(1));
  for (let from = 5 * BLOCK; from < 8 * BLOCK; from += 512) {
    const torn = disk.copy();
    torn.overwrite(segmentPath(1), bytes.slice().fill(0, from, from + 512));
    const isPadding = from >= 5 * BLOCK + 44 + 21 + 9000;
    expect(await recordsOn(torn)).toEqual(isPadding ? [...BEFORE, ...large] : BEFORE);
  }
});

test("a torn batch does not come back after others were written", async () => {
  const disk = await diskWithLastBatch();
  const bytes = disk.read(segmentPath(1));
  disk.overwrite(segmentPath(1), bytes.slice().fill(0, 5 * BLOCK + 1024, 5 * BLOCK + 1536));
  await writtenThenKilled(disk, [[accepted(7)]]);
  expect(await recordsOn(disk)).toEqual([...BEFORE, accepted(7)]);
});

const logIn = (directory: string): WriteAheadLog =>
  new WriteAheadLog({ directory, identity: IDENTITY, segmentBytes: 16 * BLOCK });

/** Without the batch that a clean close adds: a copy of the directory is taken while the log is open. */
async function writeAndCopy(
  directory: string,
  groups: readonly (readonly DurableRecord[])[],
  copy: string,
): Promise<void> {
  const log = logIn(directory);
  await log.open();
  for (const group of groups) await log.append(group);
  cpSync(directory, copy, { recursive: true });
  rmSync(join(copy, "lock.1"));
  await log.close();
}

test("on a real disk too, tears at sampled bytes keep all earlier batches", async () => {
  const directory = mkdtempSync(join(tmpdir(), "synod-torn-"));
  const killed = join(directory, "killed");
  await writeAndCopy(join(directory, "live"), [...BEFORE.map((record) => [record]), LAST], killed);
  for (const offset of [0, 1, 43, 44, 45, 512, 2000, LAST_BYTES - 1, LAST_BYTES, 4095]) {
    const torn = join(directory, `torn-${offset}`);
    cpSync(killed, torn, { recursive: true });
    const segment = join(torn, "log", "00000001.segment");
    writeFileSync(segment, readFileSync(segment).subarray(0, 5 * BLOCK + offset));
    const log = logIn(torn);
    await log.open();
    await log.append([accepted(7)]);
    await log.close();
    const again = logIn(torn);
    const { records } = await again.open();
    await again.close();
    const survivors = offset >= LAST_BYTES ? LAST : [];
    expect(records).toEqual([...BEFORE, ...survivors, accepted(7)]);
  }
  rmSync(directory, { recursive: true });
});
