/**
 * What every implementation of the shard port must do. Run on the twin in memory and on real Postgres, so that what the
 * simulator proves about the one holds for the other.
 */
import { parseSnapshot, sees } from "../../coordinator/transactions/visibility.ts";
import type {
  ExecutionOutcome,
  ReadOutcome,
  Shard,
  ShardSession,
} from "../../participant/shard/shard.ts";
import type { Xid } from "../../shared/model/ids.ts";
import type { BranchOperation } from "../../shared/model/protocol.ts";
import { ADD, gid, NOTE, operation, READ } from "./shard-words.ts";
import { testSavepoints } from "./savepoint-contract.ts";
import { testReceipts } from "./receipt-contract.ts";
import { testSnapshots } from "./snapshot-contract.ts";

export { ADD, gid, LIST, NOTE, operation, READ } from "./shard-words.ts";

export const PREPARE_DEADLINE_MS = 5_000;

/** Items `a` and `b` hold 100 each; there are no entries. */
export interface ContractShard {
  readonly shard: Shard;
  readonly close: () => Promise<void>;
}

let open: ContractShard;

const begin = (timeoutMs = 5_000): Promise<ShardSession> =>
  open.shard.begin({ isolation: "read committed", timeoutMs });

async function valueOf(id: string): Promise<unknown> {
  const session = await begin();
  const outcome = await session.execute([operation(READ, id)]);
  await session.commit(null);
  return outcome.kind === "executed" ? outcome.results[0]?.rows[0]?.["value"] : outcome;
}

async function prepareAdd(name: string, amount: number, id: string): Promise<Xid> {
  const session = await begin();
  const { execution, prepare } = await session.executeAndPrepare(
    [operation(ADD, amount, id)],
    gid(name),
    PREPARE_DEADLINE_MS,
  );
  expect(prepare).toEqual({ kind: "answered", tag: "PREPARE TRANSACTION", warnings: [] });
  return xidOf(execution);
}

function xidOf(execution: ExecutionOutcome): Xid {
  if (execution.kind !== "executed" || execution.xid === null) throw new Error("nothing written");
  return execution.xid;
}

export function testShardContract(create: () => Promise<ContractShard>): void {
  beforeEach(async () => {
    open = await create();
  });
  afterEach(async () => {
    await open.close();
  });
  testExecution();
  testReading();
  testPreparing();
  testFinishing();
  testLocks();
  testReceipts(() => open.shard);
  testSavepoints(() => open.shard);
  testSnapshots(() => open.shard);
}

function testExecution(): void {
  test("results come in order, and a branch that only reads has no xid", async () => {
    const session = await begin();
    const outcome = await session.execute([operation(READ, "a"), operation(READ, "nobody")]);
    expect(outcome).toEqual({
      kind: "executed",
      results: [
        { rowCount: 1, rows: [{ value: "100" }] },
        { rowCount: 0, rows: [] },
      ],
      xid: null,
      insideTransaction: true,
    });
    await session.rollback();
  });

  test("a branch that writes has an xid, and sees its own writes", async () => {
    const session = await begin();
    const outcome = await session.execute([operation(ADD, 5, "a"), operation(READ, "a")]);
    expect(outcome).toMatchObject({ results: [{ rowCount: 1 }, { rows: [{ value: "105" }] }] });
    expect(await open.shard.xidStatus(xidOf(outcome))).toBe("in progress");
    await session.rollback();
    expect(await valueOf("a")).toBe("100");
    expect(await open.shard.xidStatus(xidOf(outcome))).toBe("aborted");
  });

  test("execution stops at the first failure and tells its place and constraint", async () => {
    const session = await begin();
    const outcome = await session.execute([
      operation(ADD, 1, "a"),
      operation(ADD, -101, "b"),
      operation(NOTE, "n", ""),
    ]);
    expect(outcome).toMatchObject({
      kind: "failed",
      index: 1,
      sqlstate: "23514",
      constraint: "items_value_check",
    });
    await session.rollback();
    expect(await valueOf("a")).toBe("100");
  });

  test("the same row twice is a unique violation", async () => {
    const session = await begin();
    const outcome = await session.execute([operation(NOTE, "n", "1"), operation(NOTE, "n", "2")]);
    expect(outcome).toMatchObject({ kind: "failed", index: 1, sqlstate: "23505" });
    await session.rollback();
  });

  test("a session can execute more than once before it ends", async () => {
    const session = await begin();
    await session.execute([operation(ADD, 5, "a")]);
    const outcome = await session.execute([operation(READ, "a")]);
    expect(outcome).toMatchObject({ results: [{ rows: [{ value: "105" }] }] });
    await session.rollback();
  });

  test("rolling back a spent session does nothing", async () => {
    const session = await begin();
    await session.rollback();
    await session.rollback();
    await prepareAdd("1", 1, "a");
    await open.shard.commitPrepared(gid("1"));
    expect(await valueOf("a")).toBe("101");
  });
}

function testReading(): void {
  async function read(...operations: readonly BranchOperation[]): Promise<ReadOutcome> {
    const session = await open.shard.begin({ isolation: "one snapshot", timeoutMs: 5_000 });
    return session.read(operations);
  }

  /** What the snapshot of a read says of a transaction. */
  async function isSeen(xid: Xid): Promise<boolean> {
    const outcome = await read(operation(READ, "a"));
    if (outcome.kind !== "read") throw new Error(`nothing read: ${outcome.kind}`);
    return sees(parseSnapshot(outcome.snapshot), xid);
  }

  test("a read answers its statements in order, with the snapshot that they saw", async () => {
    expect(await read(operation(READ, "a"), operation(READ, "nobody"))).toMatchObject({
      kind: "read",
      snapshot: expect.stringMatching(/^\d+:\d+:/) as string,
      results: [
        { rowCount: 1, rows: [{ value: "100" }] },
        { rowCount: 0, rows: [] },
      ],
      insideTransaction: true,
    });
  });

  test("a snapshot has not seen what is prepared, and has seen what was committed or rolled back before it", async () => {
    const committed = await prepareAdd("1", 7, "a");
    const rolledBack = await prepareAdd("2", 7, "b");
    expect(await isSeen(committed)).toBe(false);
    await open.shard.commitPrepared(gid("1"));
    expect(await isSeen(committed)).toBe(true);
    expect(await isSeen(rolledBack)).toBe(false);
    await open.shard.rollbackPrepared(gid("2"));
    expect(await isSeen(rolledBack)).toBe(true);
    expect(await read(operation(READ, "a"))).toMatchObject({
      results: [{ rows: [{ value: "107" }] }],
    });
  });

  test("a read does not wait for the locks of those who write", async () => {
    await prepareAdd("1", 7, "a");
    expect(await read(operation(READ, "a"))).toMatchObject({
      results: [{ rows: [{ value: "100" }] }],
    });
    await open.shard.rollbackPrepared(gid("1"));
  });

  test("a read that writes fails at that statement, and changes nothing", async () => {
    const outcome = await read(operation(READ, "a"), operation(ADD, 1, "a"));
    expect(outcome).toMatchObject({ kind: "failed", index: 1, sqlstate: "25006" });
    expect(await valueOf("a")).toBe("100");
  });
}

function testPreparing(): void {
  test("a failed transaction prepares with the tag ROLLBACK and no error", async () => {
    const session = await begin();
    await session.execute([operation(ADD, -101, "b")]);
    expect(await session.prepare(gid("1"), PREPARE_DEADLINE_MS)).toEqual({
      kind: "answered",
      tag: "ROLLBACK",
      warnings: [],
    });
    expect(await open.shard.listPrepared("synod_test_")).toEqual([]);
  });

  test("a failure on the way is not followed by a prepare", async () => {
    const session = await begin();
    const { execution, prepare } = await session.executeAndPrepare(
      [operation(ADD, -101, "b")],
      gid("1"),
      PREPARE_DEADLINE_MS,
    );
    expect(execution).toMatchObject({ kind: "failed", sqlstate: "23514" });
    expect(prepare).toBeNull();
    expect(await open.shard.listPrepared("synod_test_")).toEqual([]);
  });

  test("what is prepared is listed by prefix with the xid it had before", async () => {
    const session = await begin();
    const xid = xidOf(await session.execute([operation(ADD, 1, "a")]));
    await session.prepare(gid("1"), PREPARE_DEADLINE_MS);
    expect(await open.shard.listPrepared("synod_test_")).toEqual([{ gid: gid("1"), xid }]);
    expect(await open.shard.listPrepared("synod_other_")).toEqual([]);
    expect(await open.shard.xidStatus(xid)).toBe("in progress");
    await open.shard.rollbackPrepared(gid("1"));
  });

  test("a gid that is in use cannot be prepared again", async () => {
    await prepareAdd("1", 1, "a");
    const session = await begin();
    await session.execute([operation(ADD, 1, "b")]);
    expect(await session.prepare(gid("1"), PREPARE_DEADLINE_MS)).toMatchObject({
      kind: "failed",
      sqlstate: "42710",
    });
    expect(await open.shard.listPrepared("synod_test_")).toHaveLength(1);
    await open.shard.rollbackPrepared(gid("1"));
  });
}

function testFinishing(): void {
  test("a commit makes the branch's writes visible, and its status committed", async () => {
    const xid = await prepareAdd("1", 1, "a");
    expect(await valueOf("a")).toBe("100");
    expect(await open.shard.commitPrepared(gid("1"))).toEqual({ kind: "finished", warnings: [] });
    expect(await valueOf("a")).toBe("101");
    expect(await open.shard.xidStatus(xid)).toBe("committed");
    expect(await open.shard.commitPrepared(gid("1"))).toEqual({ kind: "doesNotExist" });
  });

  test("a rollback leaves nothing, and the status aborted", async () => {
    const xid = await prepareAdd("1", 1, "a");
    expect(await open.shard.rollbackPrepared(gid("1"))).toEqual({ kind: "finished", warnings: [] });
    expect(await valueOf("a")).toBe("100");
    expect(await open.shard.xidStatus(xid)).toBe("aborted");
    expect(await open.shard.rollbackPrepared(gid("1"))).toEqual({ kind: "doesNotExist" });
  });

  test("an xid that was never given out is forgotten, not aborted", async () => {
    expect(await open.shard.xidStatus("4000000000000" as Xid)).toBe("forgotten");
  });
}

function testLocks(): void {
  test("a prepared branch keeps its locks: others wait until their timeout", async () => {
    await prepareAdd("1", 1, "a");
    const session = await begin(100);
    const outcome = await session.execute([operation(ADD, 1, "a")]);
    expect(outcome).toMatchObject({ kind: "failed", index: 0, sqlstate: "55P03" });
    await session.rollback();
    await open.shard.rollbackPrepared(gid("1"));
  });

  test("a lock wait may be given less time than its statement", async () => {
    await prepareAdd("1", 1, "a");
    const limits = { timeoutMs: 60_000, lockTimeoutMs: 50 };
    const session = await open.shard.begin({ isolation: "read committed", ...limits });
    const outcome = await session.execute([operation(ADD, 1, "a")]);
    expect(outcome).toMatchObject({ kind: "failed", index: 0, sqlstate: "55P03" });
    await session.rollback();
    await open.shard.rollbackPrepared(gid("1"));
  });

  test("who waits for a lock goes on when it is released, and sees what was committed", async () => {
    await prepareAdd("1", 1, "a");
    const session = await begin();
    const waiting = session.execute([operation(ADD, 1, "a")]);
    await open.shard.commitPrepared(gid("1"));
    expect(await waiting).toMatchObject({ kind: "executed", results: [{ rowCount: 1 }] });
    await session.commit(null);
    expect(await valueOf("a")).toBe("102");
  });

  test("an interrupt ends the wait for a lock", async () => {
    await prepareAdd("1", 1, "a");
    const session = await begin(60_000);
    const waiting = session.execute([operation(ADD, 1, "a")]);
    await open.shard.listPrepared("");
    session.interrupt();
    expect(await waiting).toMatchObject({ kind: "failed", sqlstate: "57014" });
    await session.rollback();
    await open.shard.rollbackPrepared(gid("1"));
  });

  test("an interrupt when nothing runs does no harm", async () => {
    const session = await begin();
    session.interrupt();
    expect(await session.execute([operation(ADD, 1, "a")])).toMatchObject({ kind: "executed" });
    session.interrupt();
    expect(await session.commit(null)).toEqual({ kind: "committed", warnings: [] });
  });
}
