/** What receipts of one-phase transactions must do on every shard: a part of shard-contract.ts. */
import type { Receipt, Shard, ShardSession } from "../../participant/shard/shard.ts";
import type { TransactionId } from "../../shared/model/ids.ts";
import { ADD, gid, operation, READ } from "./shard-words.ts";

const PREPARE_DEADLINE_MS = 5_000;

let shardOf: () => Shard;

const begin = (): Promise<ShardSession> =>
  shardOf().begin({ isolation: "read committed", timeoutMs: 5_000 });

async function valueOf(id: string): Promise<unknown> {
  const session = await begin();
  const outcome = await session.execute([operation(READ, id)]);
  await session.commit(null);
  if (outcome.kind !== "executed") throw new Error(JSON.stringify(outcome));
  return outcome.results[0]?.rows[0]?.["value"];
}

const receipt = (id: string, key: string | null): Receipt => ({
  transactionId: id as TransactionId,
  idempotencyKey: key,
  fingerprint: key === null ? null : `print of ${key}`,
  results: [{ rowCount: 1, rows: [{ value: "7" }] }],
});

export function testReceipts(shard: () => Shard): void {
  shardOf = shard;
  testOneShard();
  testKeysOfSeveralShards();
}

function testOneShard(): void {
  test("a failed transaction does not commit, with a receipt or without", async () => {
    for (const kept of [null, receipt("t1", "k1")]) {
      const session = await begin();
      await session.execute([operation(ADD, 1, "a"), operation(ADD, -101, "b")]);
      expect(await session.commit(kept)).toMatchObject({ kind: "failed" });
    }
    expect(await valueOf("a")).toBe("100");
    expect(await shardOf().findReceiptByKey("k1")).toBeUndefined();
  });

  test("a receipt commits with its transaction and is found by its key", async () => {
    const session = await begin();
    await session.execute([operation(ADD, 1, "a")], ["k1"]);
    expect(await session.commit(receipt("t1", "k1"))).toEqual({ kind: "committed", warnings: [] });
    expect(await shardOf().findReceiptByKey("k1")).toEqual(receipt("t1", "k1"));
    expect(await shardOf().findReceiptByKey("k2")).toBeUndefined();
    expect(await shardOf().settleReceipt("t1" as TransactionId)).toEqual(receipt("t1", "k1"));
  });

  test("a key that is used up is found before the commit", async () => {
    const first = await begin();
    await first.execute([operation(ADD, 1, "a")], ["k1"]);
    await first.commit(receipt("t1", "k1"));
    const second = await begin();
    expect(await second.execute([operation(ADD, 1, "a")], ["k1"])).toEqual({
      kind: "receiptFound",
      receipt: receipt("t1", "k1"),
    });
    await second.rollback();
    expect(await valueOf("a")).toBe("101");
  });

  test("of several keys the one that is used up is found, whatever is in it", async () => {
    const odd = 'k"{1},\\2 ';
    const first = await begin();
    await first.execute([operation(ADD, 1, "a")], [odd]);
    await first.commit(receipt("t1", odd));
    const second = await begin();
    const found = await second.execute([operation(ADD, 1, "a")], ["k1", odd, "NULL", ""]);
    expect(found).toEqual({ kind: "receiptFound", receipt: receipt("t1", odd) });
    await second.rollback();
    const third = await begin();
    const keys = ["k1", 'k"', "{1}", "2 "];
    expect(await third.execute([operation(ADD, 1, "a")], keys)).toMatchObject({ kind: "executed" });
    await third.rollback();
  });

  test("of two transactions with one key only one commits", async () => {
    const [first, second] = await Promise.all([begin(), begin()]);
    await first.execute([operation(ADD, 1, "a")], ["k1"]);
    await second.execute([operation(ADD, 1, "b")], ["k1"]);
    expect(await first.commit(receipt("t1", "k1"))).toMatchObject({ kind: "committed" });
    expect(await second.commit(receipt("t2", "k1"))).toEqual({ kind: "conflict" });
    expect(await valueOf("b")).toBe("100");
  });

  test("a tombstone keeps the transaction from ever committing", async () => {
    const session = await begin();
    await session.execute([operation(ADD, 1, "a")]);
    expect(await shardOf().settleReceipt("t1" as TransactionId)).toMatchObject({ results: null });
    expect(await session.commit(receipt("t1", "k1"))).toEqual({ kind: "conflict" });
    expect(await valueOf("a")).toBe("100");
    expect(await shardOf().findReceiptByKey("k1")).toBeUndefined();
  });
}

function testKeysOfSeveralShards(): void {
  test("a key that is used up is found by a branch of several shards, which is then undone", async () => {
    const first = await begin();
    await first.execute([operation(ADD, 1, "a")], ["k1"]);
    await first.commit(receipt("t1", "k1"));
    const found = { kind: "receiptFound", receipt: receipt("t1", "k1") };
    const fine = await begin();
    const { execution, prepare } = await fine.executeAndPrepare(
      [operation(ADD, 1, "b")],
      gid("used"),
      PREPARE_DEADLINE_MS,
      ["k1"],
    );
    expect([execution, prepare]).toMatchObject([found, { tag: "PREPARE TRANSACTION" }]);
    expect(await shardOf().rollbackPrepared(gid("used"))).toMatchObject({ kind: "finished" });
    const failing = await begin();
    const failed = [operation(ADD, -500, "b")];
    expect(
      await failing.executeAndPrepare(failed, gid("failed"), PREPARE_DEADLINE_MS, ["k1"]),
    ).toEqual({ execution: found, prepare: null });
    expect(await valueOf("b")).toBe("100");
  });
}
