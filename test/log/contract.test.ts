/** The LogStore contract on each adapter: the log on a real disk, the same on the simulated disk, and the twin. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MemoryDisk } from "../../coordinator/log/memory-disk.ts";
import { MemoryLog } from "../../coordinator/log/memory-log.ts";
import { WriteAheadLog } from "../../coordinator/log/wal/wal.ts";
import { systemClock } from "../../shared/runtime/clock.ts";
import { LOG_STORE_CASES, type LogWorld } from "./log-store-contract.ts";
import { SNAPSHOT_CASES } from "./snapshot-contract.ts";
import { IDENTITY } from "./records.ts";
import { SimulatedDisk } from "./simulated-disk.ts";

/** Small enough that the cases roll over. */
const segmentBytes = 32 * 1024;

function realWorld(): LogWorld {
  const directory = mkdtempSync(join(tmpdir(), "synod-log-"));
  return {
    create: (identity = IDENTITY) => new WriteAheadLog({ directory, identity, segmentBytes }),
    dispose: () => {
      rmSync(directory, { recursive: true });
    },
  };
}

function simulatedWorld(): LogWorld {
  const disk = new SimulatedDisk();
  return {
    create: (identity = IDENTITY) =>
      new WriteAheadLog({ directory: "/data", identity, segmentBytes, disk }),
    dispose: () => undefined,
  };
}

function memoryWorld(): LogWorld {
  const disk = new MemoryDisk("a-disk");
  return {
    create: (identity = IDENTITY) => new MemoryLog({ disk, identity, clock: systemClock }),
    dispose: () => undefined,
  };
}

const ADAPTERS: Readonly<Record<string, () => LogWorld>> = {
  "write-ahead log": realWorld,
  "write-ahead log on a simulated disk": simulatedWorld,
  "memory log": memoryWorld,
};

for (const [adapter, makeWorld] of Object.entries(ADAPTERS)) {
  const cases = Object.entries({ ...LOG_STORE_CASES, ...SNAPSHOT_CASES });
  test.each(cases)(`${adapter}: %s`, async (_, run) => {
    const world = makeWorld();
    try {
      await run(world);
    } finally {
      world.dispose();
    }
  });
}
