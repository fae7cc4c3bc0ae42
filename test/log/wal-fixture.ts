/** Write-ahead logs on simulated disks, for tests that damage them. */
import { join } from "node:path";
import { WriteAheadLog, type WriteAheadLogOptions } from "../../coordinator/log/wal/wal.ts";
import { segmentName } from "../../coordinator/log/wal/segment.ts";
import type { DurableRecord } from "../../coordinator/paxos/record.ts";
import { IDENTITY } from "./records.ts";
import type { SimulatedDisk } from "./simulated-disk.ts";

export const DIRECTORY = "/data";
export const BLOCK = 4096;
/** Header, and seven blocks of batches. */
export const SEGMENT_BYTES = 8 * BLOCK;

export const segmentPath = (segment: number): string =>
  join(DIRECTORY, "log", segmentName(segment));
export const IDENTITY_PATH = join(DIRECTORY, "identity.json");

export function logOn(
  disk: SimulatedDisk,
  options: Partial<WriteAheadLogOptions> = {},
): WriteAheadLog {
  return new WriteAheadLog({
    ...{ directory: DIRECTORY, identity: IDENTITY, segmentBytes: SEGMENT_BYTES, disk },
    ...options,
  });
}

export async function openedOn(disk: SimulatedDisk): Promise<WriteAheadLog> {
  const log = logOn(disk);
  await log.open();
  return log;
}

/** One life of a process that is killed while idle: a batch for each group, all acknowledged. */
export async function writtenThenKilled(
  disk: SimulatedDisk,
  groups: readonly (readonly DurableRecord[])[],
): Promise<void> {
  const log = await openedOn(disk);
  for (const group of groups) await log.append(group);
  disk.restart();
}

export async function recordsOn(disk: SimulatedDisk): Promise<readonly DurableRecord[]> {
  const log = logOn(disk);
  const { records } = await log.open();
  await log.close();
  return records;
}

/** Where in a segment the bytes of its batches end. */
export function endOfBatches(bytes: Uint8Array): number {
  let end = bytes.length;
  while (end > 0 && bytes[end - 1] === 0) end -= 1;
  return Math.ceil(end / BLOCK) * BLOCK;
}
