/** Rules of the write-ahead log, broken by what it is told of its disk. Power is lost at every operation, and it opens again. */
import type { Disk } from "../../coordinator/log/wal/disk.ts";
import { GROUPS, live, nothingKnown } from "../log/known-life.ts";
import { untilEnd } from "../log/lives.ts";
import { SimulatedDisk } from "../log/simulated-disk.ts";
import { nothingSurvives } from "../log/simulated-medium.ts";
import type { Noticed, RemovedRule } from "./rule.ts";

const MAX_OPERATIONS = 400;

function losingPower(
  mutation: string,
  expected: RegExp,
  mutated: (disk: SimulatedDisk) => Disk,
): RemovedRule {
  const look = async (): Promise<Noticed | undefined> => {
    for (let at = 0; at < MAX_OPERATIONS; at += 1) {
      const disk = new SimulatedDisk();
      const knowledge = nothingKnown();
      disk.endAfter(at);
      const end = await untilEnd(disk, live(disk, knowledge, GROUPS, mutated(disk)));
      if (end === "closed") return undefined;
      disk.losePower(nothingSurvives);
      const what = await failureOf(live(disk, knowledge, []));
      if (what !== undefined) {
        return { by: "disk of the log", what, after: `power lost at operation ${at}` };
      }
    }
    return undefined;
  };
  return { mutation, expected, look };
}

async function failureOf(life: Promise<void>): Promise<string | undefined> {
  try {
    await life;
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message.split("\n", 1)[0] : String(error);
  }
}

/** As `disk`, but for some of its operations. */
function disguised(disk: SimulatedDisk, changed: Partial<Disk>): Disk {
  return {
    makeDirectory: (path) => {
      disk.makeDirectory(path);
    },
    list: (directory) => disk.list(directory),
    exists: (path) => disk.exists(path),
    read: (path) => disk.read(path),
    readPart: (path, position, length) => disk.readPart(path, position, length),
    fetch: (path, position, length) => disk.fetch(path, position, length),
    lengthOf: (path) => disk.lengthOf(path),
    create: (path) => disk.create(path),
    openDurable: (path) => disk.openDurable(path),
    rename: (from, to) => {
      disk.rename(from, to);
    },
    remove: (path) => disk.remove(path),
    syncDirectory: (directory) => disk.syncDirectory(directory),
    lock: (directory) => disk.lock(directory),
    ...changed,
  };
}

export const LOG: readonly RemovedRule[] = [
  losingPower("a batch is acknowledged before it is durable", /records are missing/, (disk) =>
    disguised(disk, {
      openDurable: async (path) => {
        const file = await disk.openDurable(path);
        return {
          write: (bytes, position) => {
            void file.write(bytes, position);
            return Promise.resolve(bytes.length);
          },
          sync: () => file.sync(),
          truncate: (length) => file.truncate(length),
          close: () => file.close(),
        };
      },
    }),
  ),
  losingPower("the name of a segment is not synced", /A missing segment/, (disk) =>
    disguised(disk, {
      syncDirectory: (directory) =>
        directory.endsWith("/log") ? Promise.resolve() : disk.syncDirectory(directory),
    }),
  ),
];
