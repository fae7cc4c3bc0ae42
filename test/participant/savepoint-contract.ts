/** What savepoints and steps must do on every shard: a part of shard-contract.ts. */
import type {
  ExecutionOutcome,
  SavepointAction,
  Shard,
  ShardSession,
} from "../../participant/shard/shard.ts";
import type { Xid } from "../../shared/model/ids.ts";
import { ADD, gid, NOTE, operation, READ } from "./shard-words.ts";

const PREPARE_DEADLINE_MS = 5_000;

async function valueOf(shard: Shard, id: string): Promise<unknown> {
  const session = await shard.begin({ isolation: "read committed", timeoutMs: 5_000 });
  const outcome = await session.execute([operation(READ, id)]);
  await session.commit(null);
  return outcome.kind === "executed" ? outcome.results[0]?.rows[0]?.["value"] : outcome;
}

async function prepareAdd(shard: Shard, name: string, amount: number, id: string): Promise<void> {
  const session = await shard.begin({ isolation: "read committed", timeoutMs: 5_000 });
  await session.executeAndPrepare([operation(ADD, amount, id)], gid(name), PREPARE_DEADLINE_MS);
}

function xidOf(execution: ExecutionOutcome): Xid {
  if (execution.kind !== "executed" || execution.xid === null) throw new Error("nothing written");
  return execution.xid;
}

const savepoint = (kind: SavepointAction["kind"], name: string): SavepointAction => ({
  kind,
  name,
});

const beginInteractive = (...savepoints: string[]): Promise<ShardSession> =>
  shardOf().begin({
    isolation: "read committed",
    timeoutMs: 5_000,
    interactive: { savepoints, lockTimeoutMs: 100, maxIdleMs: 60_000 },
  });

let shardOf: () => Shard;

/** A part of the contract; `shard` gives the one of the test that runs. */
export function testSavepoints(shard: () => Shard): void {
  shardOf = shard;
  testSteps();
  testNesting();
  testWhatGoingBackFrees();
}

function testSteps(): void {
  test("steps run one by one, with the names and types of what they return", async () => {
    const session = await beginInteractive();
    expect(await session.runStep(operation(ADD, 5, "a"))).toMatchObject({
      execution: { kind: "executed", results: [{ rowCount: 1, rows: [] }] },
      fields: [],
    });
    expect(await session.runStep(operation(READ, "a"))).toMatchObject({
      execution: { results: [{ rowCount: 1, rows: [{ value: "105" }] }], insideTransaction: true },
      fields: [{ name: "value", type: "int8" }],
    });
    expect(await session.prepare(gid("1"), PREPARE_DEADLINE_MS)).toMatchObject({
      tag: "PREPARE TRANSACTION",
    });
    await shardOf().commitPrepared(gid("1"));
    expect(await valueOf(shardOf(), "a")).toBe("105");
  });

  test("going back undoes what came after the savepoint, and mends a failure", async () => {
    const session = await beginInteractive();
    await session.runStep(operation(ADD, 1, "a"));
    expect(await session.savepoint(savepoint("savepoint", "s"))).toMatchObject({
      kind: "executed",
      results: [],
      insideTransaction: true,
    });
    await session.runStep(operation(ADD, 10, "a"));
    const { execution } = await session.runStep(operation(ADD, -500, "b"));
    expect(execution).toMatchObject({ kind: "failed", sqlstate: "23514" });
    expect((await session.runStep(operation(READ, "a"))).execution).toMatchObject({
      kind: "failed",
      sqlstate: "25P02",
    });
    const back = await session.savepoint(savepoint("rollbackTo", "s"));
    expect(back).toMatchObject({ kind: "executed", insideTransaction: true });
    await session.runStep(operation(ADD, 2, "a"));
    await session.commit(null);
    expect(await valueOf(shardOf(), "a")).toBe("103");
    expect(await shardOf().xidStatus(xidOf(back))).toBe("committed");
  });
}

function testNesting(): void {
  test("savepoints nest: going back keeps one, and releasing drops all from there on", async () => {
    const session = await beginInteractive();
    for (const name of ["s", "t", "s"]) await session.savepoint(savepoint("savepoint", name));
    await session.savepoint(savepoint("rollbackTo", "s"));
    await session.savepoint(savepoint("release", "s"));
    expect(await session.savepoint(savepoint("rollbackTo", "s"))).toMatchObject({
      kind: "executed",
    });
    expect(await session.savepoint(savepoint("release", "t"))).toMatchObject({
      kind: "failed",
      sqlstate: "3B001",
    });
    await session.rollback();
  });

  test("a session can be opened with savepoints, the first of which is its beginning", async () => {
    const session = await beginInteractive("outer", "inner");
    await session.runStep(operation(ADD, 1, "a"));
    await session.savepoint(savepoint("rollbackTo", "inner"));
    await session.runStep(operation(NOTE, "n", ""));
    await session.savepoint(savepoint("rollbackTo", "outer"));
    await session.runStep(operation(ADD, 7, "b"));
    await session.commit(null);
    expect([await valueOf(shardOf(), "a"), await valueOf(shardOf(), "b")]).toEqual(["100", "107"]);
  });

  test("a session may begin with going back", async () => {
    const session = await beginInteractive("outer");
    expect(await session.savepoint(savepoint("rollbackTo", "outer"))).toMatchObject({
      kind: "executed",
      xid: null,
    });
    await session.rollback();
  });
}

function testWhatGoingBackFrees(): void {
  test("a lock that was taken after a savepoint is free when one goes back, others are not", async () => {
    const session = await beginInteractive();
    await session.runStep(operation(ADD, 1, "a"));
    await session.savepoint(savepoint("savepoint", "s"));
    await session.runStep(operation(ADD, 1, "b"));
    const other = await beginInteractive();
    await session.savepoint(savepoint("rollbackTo", "s"));
    expect((await other.runStep(operation(ADD, 5, "b"))).execution).toMatchObject({
      kind: "executed",
    });
    expect((await other.runStep(operation(ADD, 5, "a"))).execution).toMatchObject({
      kind: "failed",
      sqlstate: "55P03",
    });
    await other.rollback();
    await session.rollback();
  });

  test("a step that was interrupted under a savepoint is mended by going back", async () => {
    await prepareAdd(shardOf(), "1", 1, "a");
    const session = await shardOf().begin({
      isolation: "read committed",
      timeoutMs: 60_000,
      interactive: { savepoints: ["s"], lockTimeoutMs: 60_000, maxIdleMs: 60_000 },
    });
    const waiting = session.runStep(operation(ADD, 1, "a"));
    await shardOf().listPrepared("");
    session.interrupt();
    expect((await waiting).execution).toMatchObject({ kind: "failed", sqlstate: "57014" });
    expect(await session.savepoint(savepoint("rollbackTo", "s"))).toMatchObject({
      kind: "executed",
    });
    expect((await session.runStep(operation(ADD, 1, "b"))).execution).toMatchObject({
      kind: "executed",
    });
    await session.rollback();
    await shardOf().rollbackPrepared(gid("1"));
  });
}
