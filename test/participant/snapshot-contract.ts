/** What a session that takes a snapshot must do on every shard: a part of shard-contract.ts. */
import { parseSnapshot, sees } from "../../coordinator/transactions/visibility.ts";
import type { Shard, ShardSession } from "../../participant/shard/shard.ts";
import type { Xid } from "../../shared/model/ids.ts";
import { ADD, operation, READ } from "./shard-words.ts";

let shardOf: () => Shard;

const begin = (isolation: "read committed" | "repeatable read"): Promise<ShardSession> =>
  shardOf().begin({
    ...{ isolation, timeoutMs: 5_000 },
    interactive: { savepoints: [], lockTimeoutMs: 1_000, maxIdleMs: 60_000 },
  });

async function commitAdd(amount: number, id: string): Promise<Xid> {
  const session = await begin("read committed");
  const { execution } = await session.runStep(operation(ADD, amount, id));
  await session.commit(null);
  if (execution.kind !== "executed" || execution.xid === null) throw new Error("nothing written");
  return execution.xid;
}

async function seenBy(session: ShardSession, xid: Xid): Promise<boolean> {
  const { execution, snapshot } = await session.takeSnapshot();
  expect(execution).toEqual({
    ...{ kind: "executed", results: [], xid: null, insideTransaction: true },
  });
  return sees(parseSnapshot(snapshot ?? ""), xid);
}

async function valueIn(session: ShardSession, id: string): Promise<unknown> {
  const { execution } = await session.runStep(operation(READ, id));
  return execution.kind === "executed" ? execution.results[0]?.rows[0]?.["value"] : execution;
}

/** A part of the contract; `shard` gives the one of the test that runs. */
export function testSnapshots(shard: () => Shard): void {
  shardOf = shard;

  test("everything sees the snapshot that was taken last, and the session's own writes", async () => {
    const first = await commitAdd(1, "a");
    const session = await begin("repeatable read");
    expect(await seenBy(session, first)).toBe(true);
    const second = await commitAdd(10, "a");
    expect(await valueIn(session, "a")).toBe("101");
    expect(await seenBy(session, second)).toBe(true);
    await commitAdd(100, "a");
    expect(await valueIn(session, "a")).toBe("111");
    await session.runStep(operation(ADD, 5, "b"));
    expect(await valueIn(session, "b")).toBe("105");
    await session.rollback();
  });

  test("of two that write to one row, the one whose snapshot lacks the other fails", async () => {
    const session = await begin("repeatable read");
    await session.takeSnapshot();
    await commitAdd(1, "a");
    const { execution } = await session.runStep(operation(ADD, 1, "b"));
    expect(execution).toMatchObject({ kind: "executed" });
    expect((await session.runStep(operation(ADD, 1, "a"))).execution).toMatchObject({
      kind: "failed",
      sqlstate: "40001",
    });
    await session.rollback();
  });
}
