/** A disk that tells how long each wait for the medium took: writes to durable files, and syncs. */
import type { Clock } from "../../../shared/model/ports.ts";
import type { Disk, DiskFile } from "./disk.ts";

export function timedDisk(
  disk: Disk,
  clock: Pick<Clock, "monotonicMs">,
  note: (milliseconds: number) => void,
): Disk {
  const timed = async <Result>(work: Promise<Result>): Promise<Result> => {
    const startedAtMs = clock.monotonicMs();
    const result = await work;
    note(clock.monotonicMs() - startedAtMs);
    return result;
  };
  const withTimedSync = (file: DiskFile): DiskFile => ({
    ...file,
    sync: () => timed(file.sync()),
  });
  return {
    ...disk,
    create: async (path) => withTimedSync(await disk.create(path)),
    openDurable: async (path) => {
      const file = await disk.openDurable(path);
      return { ...withTimedSync(file), write: (bytes, at) => timed(file.write(bytes, at)) };
    },
  };
}
