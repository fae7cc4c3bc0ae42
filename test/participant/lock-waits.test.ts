import { MemoryDatabase } from "../../participant/shard/memory-database.ts";
import { NO_HOOKS } from "../../participant/shard/memory-hooks.ts";
import { MemoryShard } from "../../participant/shard/memory-shard.ts";
import { systemClock } from "../../shared/runtime/clock.ts";
import { testLockWaitsContract } from "./lock-waits-contract.ts";

testLockWaitsContract(() => {
  const database = new MemoryDatabase();
  for (const id of ["a", "b"]) database.items.set(id, 100n);
  const connect = (): MemoryShard => new MemoryShard(database, NO_HOOKS, systemClock);
  return Promise.resolve({
    shard: connect(),
    other: connect(),
    close: () => Promise.resolve(),
  });
});
