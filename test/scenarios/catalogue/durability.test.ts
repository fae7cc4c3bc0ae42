/** Rows of ../CATALOGUE.md about the log on its disk, where no test beside the log holds them already. */
import { dirname } from "node:path";
import { LogFailure } from "../../../coordinator/log/log-store.ts";
import { accepted, acceptedRange, described } from "../../log/records.ts";
import { SimulatedDisk } from "../../log/simulated-disk.ts";
import { nothingSurvives } from "../../log/simulated-medium.ts";
import { openedOn, recordsOn, segmentPath } from "../../log/wal-fixture.ts";

test("#2 a segment's name is durable before a batch in it is acknowledged (etcd#6368)", async () => {
  const disk = new SimulatedDisk();
  const log = await openedOn(disk);
  let acknowledged = 0;
  while (!disk.list(dirname(segmentPath(1))).includes("00000002.segment")) {
    acknowledged += 1;
    await log.append([accepted(acknowledged)]);
  }
  disk.losePower(nothingSurvives);
  expect(described(await recordsOn(disk))).toBe(described(acceptedRange(1, acknowledged)));
});

test("#7 a disk that is full in the middle of a batch costs that batch, and leaves a log that can be read (etcd#2819)", async () => {
  for (const written of [0, 1, 2, 3]) {
    for (const survives of [nothingSurvives, () => true]) {
      const disk = new SimulatedDisk();
      const log = await openedOn(disk);
      await log.append([accepted(1)]);
      disk.maxWriteBytes = 1024;
      disk.failNext("durableWrite", "ENOSPC: no space left on device", written);
      await expect(log.append([accepted(2, 3_500)])).rejects.toThrow(LogFailure);
      await log.close();
      disk.losePower(survives);
      disk.maxWriteBytes = Infinity;
      const records = await recordsOn(disk);
      expect(described(records.slice(0, 1))).toBe(described([accepted(1)]));
      const again = await openedOn(disk);
      await again.append([accepted(3)]);
      await again.close();
      expect(described((await recordsOn(disk)).slice(-1))).toBe(described([accepted(3)]));
    }
  }
});
