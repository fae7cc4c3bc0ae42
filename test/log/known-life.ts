/** Lives of a log whose content is known from outside: what was acknowledged must be there. */
import type { Disk } from "../../coordinator/log/wal/disk.ts";
import type { DurableRecord } from "../../coordinator/paxos/record.ts";
import { accepted, described } from "./records.ts";
import type { SimulatedDisk } from "./simulated-disk.ts";
import { logOn } from "./wal-fixture.ts";

/** What is known about the log's content from outside. */
export interface Knowledge {
  /** Acknowledged, or returned by an `open`: must be there. */
  readonly certain: DurableRecord[];
  /** Given to `append` behind them, and not answered: may be there. */
  possible: readonly DurableRecord[];
  storageId: string | undefined;
}

export const nothingKnown = (): Knowledge => ({ certain: [], possible: [], storageId: undefined });

/** Opens, checks, and appends `groups`, each when the one before it is acknowledged. The log sees `given` for the disk. */
export async function live(
  disk: SimulatedDisk,
  knowledge: Knowledge,
  groups: readonly (readonly number[])[],
  given: Disk = disk,
): Promise<void> {
  const log = logOn(disk, { disk: given });
  const { records, storageId, created } = await log.open();
  check(knowledge, records);
  if (knowledge.storageId !== undefined) expect(storageId).toBe(knowledge.storageId);
  expect(created && knowledge.certain.length > 0).toBe(false);
  knowledge.storageId = storageId;
  knowledge.certain.splice(0, Infinity, ...records);
  knowledge.possible = [];
  for (const sizes of groups) {
    const from = knowledge.certain.length + 1;
    const group = sizes.map((bytes, index) => accepted(from + index, bytes));
    knowledge.possible = group;
    await Promise.all(
      group.map(async (record) => {
        await log.append([record]);
        knowledge.certain.push(record);
        knowledge.possible = knowledge.possible.slice(1);
      }),
    );
  }
  await log.close();
}

function check({ certain, possible }: Knowledge, records: readonly DurableRecord[]): void {
  if (records.length < certain.length) {
    const count = certain.length - records.length;
    throw new Error(`${count} acknowledged records are missing`);
  }
  const known = [...certain, ...possible];
  expect(described(records)).toBe(described(known.slice(0, records.length)));
}

/** Rolls over twice, with batches of one block and of several. */
export const GROUPS = [[100], [100, 200], [9000], [100], [100, 100, 100], [40_000], [100], [100]];
