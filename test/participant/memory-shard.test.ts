import { MemoryDatabase } from "../../participant/shard/memory-database.ts";
import {
  type MemoryHooks,
  type MemoryPoint,
  type MemoryVerdict,
  NO_HOOKS,
} from "../../participant/shard/memory-hooks.ts";
import { MemoryShard } from "../../participant/shard/memory-shard.ts";
import { ShardUnreachable } from "../../participant/shard/shard.ts";
import { systemClock } from "../../shared/runtime/clock.ts";
import { ADD, gid, operation, testShardContract } from "./shard-contract.ts";

function seeded(): MemoryDatabase {
  const database = new MemoryDatabase();
  for (const id of ["a", "b"]) database.items.set(id, 100n);
  return database;
}

testShardContract(() =>
  Promise.resolve({
    shard: new MemoryShard(seeded(), NO_HOOKS, systemClock),
    close: () => Promise.resolve(),
  }),
);

/** Answers `verdict` at one point; late effects wait for `goOn`. */
function hooksWith(point: MemoryPoint, verdict: MemoryVerdict): MemoryHooks & { goOn(): void } {
  let goOn = (): void => undefined;
  const late = new Promise<void>((resolve) => {
    goOn = resolve;
  });
  return {
    hook: async (met) => {
      if (met.startsWith("late ")) await late;
      return met === point ? verdict : "ok";
    },
    goOn: () => {
      goOn();
    },
  };
}

async function tryToPrepare(shard: MemoryShard): Promise<unknown> {
  const session = await shard.begin({ isolation: "read committed", timeoutMs: 1_000 });
  return session.executeAndPrepare([operation(ADD, 1, "a")], gid("1"), 1_000);
}

test("a crash ends open transactions and keeps prepared ones with their locks", async () => {
  const database = seeded();
  const shard = new MemoryShard(database, NO_HOOKS, systemClock);
  await tryToPrepare(shard);
  const open = await shard.begin({ isolation: "read committed", timeoutMs: 10_000 });
  await open.execute([operation(ADD, 1, "b")]);
  const waiting = open.execute([operation(ADD, 1, "a")]);
  database.crash();
  await expect(waiting).rejects.toThrow(ShardUnreachable);
  await expect(shard.listPrepared("")).rejects.toThrow(ShardUnreachable);
  database.restart();
  expect(await shard.listPrepared("")).toMatchObject([{ gid: gid("1") }]);
  const next = await shard.begin({ isolation: "read committed", timeoutMs: 20 });
  expect(await next.execute([operation(ADD, 1, "b")])).toMatchObject({ kind: "executed" });
  expect(await next.execute([operation(ADD, 1, "a")])).toMatchObject({ sqlstate: "55P03" });
  await next.rollback();
  await shard.commitPrepared(gid("1"));
  expect(database.items.get("a")).toBe(101n);
  expect(database.items.get("b")).toBe(100n);
});

test("a PREPARE may come through after its connection is lost", async () => {
  const database = seeded();
  const hooks = hooksWith("before prepare", "late");
  const shard = new MemoryShard(database, hooks, systemClock);
  await expect(tryToPrepare(shard)).rejects.toThrow(ShardUnreachable);
  expect(database.prepared.size).toBe(0);
  hooks.goOn();
  await new Promise(setImmediate);
  expect(database.prepared.size).toBe(1);
});

test("a fence keeps a late PREPARE from coming through", async () => {
  const database = seeded();
  const hooks = hooksWith("before prepare", "late");
  const shard = new MemoryShard(database, hooks, systemClock);
  await expect(tryToPrepare(shard)).rejects.toThrow(ShardUnreachable);
  await shard.fence();
  hooks.goOn();
  await new Promise(setImmediate);
  expect(database.prepared.size).toBe(0);
  expect(database.processes.size).toBe(0);
});

test("a lost reply leaves the effect, a lost request does not", async () => {
  for (const [point, size] of [
    ["after prepare", 1],
    ["before prepare", 0],
  ] as const) {
    const database = seeded();
    const shard = new MemoryShard(database, hooksWith(point, "lose"), systemClock);
    await expect(tryToPrepare(shard)).rejects.toThrow(ShardUnreachable);
    expect(database.prepared.size).toBe(size);
  }
});

test("a transaction that the server rolled back prepares with the tag ROLLBACK", async () => {
  const database = seeded();
  const shard = new MemoryShard(database, hooksWith("before prepare", "rollback"), systemClock);
  expect(await tryToPrepare(shard)).toMatchObject({ prepare: { tag: "ROLLBACK" } });
  expect(database.prepared.size).toBe(0);
});

test("a participant that dies leaves no open transaction behind", async () => {
  const database = seeded();
  const shard = new MemoryShard(database, NO_HOOKS, systemClock);
  const session = await shard.begin({ isolation: "read committed", timeoutMs: 1_000 });
  await session.execute([operation(ADD, 1, "a")]);
  shard.disconnect();
  expect(database.processes.size).toBe(0);
  await expect(shard.listPrepared("")).rejects.toThrow(ShardUnreachable);
  const next = new MemoryShard(database, NO_HOOKS, systemClock);
  expect(await tryToPrepare(next)).toMatchObject({ prepare: { tag: "PREPARE TRANSACTION" } });
});
