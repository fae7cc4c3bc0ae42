import type { BranchOperation } from "../../shared/model/protocol.ts";
import { keyTimeMs } from "../../shared/model/idempotency-key.ts";
import { carrierId, onePhaseTransactionId } from "../../shared/model/ids.ts";
import {
  ballotOf,
  createNode,
  executeRequest,
  LINK,
  memberOf,
  type NodeFixture,
  onePhaseRequest,
  SHARD,
  transactionIdOf,
} from "./node-fixture.ts";
import { ADD, operation, READ } from "./shard-contract.ts";
import { settled } from "./test-clock.ts";

const add = (amount = 1, id = "a"): BranchOperation => operation(ADD, amount, id);
const results = [[{ rowCount: 1, rows: [] }]];

const settle = (sequence: number, idempotencyKey?: string) =>
  ({
    kind: "settle",
    transactionId: transactionIdOf(sequence),
    carrierId: carrierId(ballotOf(1), sequence),
    ...(idempotencyKey !== undefined && { idempotencyKey }),
  }) as const;

/** Holds item `a` in a prepared branch. */
async function lockItem({ node }: NodeFixture): Promise<void> {
  await node.handle(LINK, executeRequest(900, [add()]));
}

test("a transaction commits with its receipt, and settles as committed", async () => {
  const { node, database } = createNode();
  expect(await node.handle(LINK, onePhaseRequest(1, [add(5)], "k"))).toEqual({
    kind: "committed",
    transactionId: transactionIdOf(1),
    results,
    replayed: false,
  });
  expect(database.items.get("a")).toBe(105n);
  expect(await node.handle(LINK, settle(1))).toEqual({ kind: "committed", results });
});

test("a transaction without a key leaves a receipt as well", async () => {
  const { node } = createNode();
  await node.handle(LINK, onePhaseRequest(1, [add()]));
  expect(await node.handle(LINK, settle(1))).toMatchObject({ kind: "committed" });
});

test("a transaction that only reads leaves no receipt", async () => {
  const { node, database } = createNode();
  expect(await node.handle(LINK, onePhaseRequest(1, [operation(READ, "a")], "k"))).toEqual({
    kind: "readOnly",
    results: [[{ rowCount: 1, rows: [{ value: "100" }] }]],
  });
  expect(database.receipts.size).toBe(0);
});

test("the same key and body again is answered from the receipt, also after a restart", async () => {
  const fixture = createNode();
  await fixture.node.handle(LINK, onePhaseRequest(1, [add(5)], "k"));
  const node = fixture.restart("boot-2");
  const again = onePhaseRequest(2, [add(5)], "k", { bootId: "boot-2" });
  expect(await node.handle(LINK, again)).toEqual({
    kind: "committed",
    transactionId: transactionIdOf(1),
    results,
    replayed: true,
  });
  expect(fixture.database.items.get("a")).toBe(105n);
});

test("the same key with another body is refused", async () => {
  const { node, database } = createNode();
  await node.handle(LINK, onePhaseRequest(1, [add(5)], "k"));
  const other = onePhaseRequest(2, [add(7)], "k", {
    idempotency: { key: "k", fingerprint: "another print" },
  });
  expect(await node.handle(LINK, other)).toMatchObject({
    kind: "no",
    refusal: { code: "idempotency-key-reused" },
  });
  expect(database.items.get("a")).toBe(105n);
});

test("a key is not run again when its receipt is deleted while the attempt is on its way", async () => {
  const { node, database, hooks } = createNode();
  const key = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f";
  await node.handle(LINK, onePhaseRequest(1, [add(5)], key));
  const letGo = hooks.hold("before execute");
  const again = node.handle(LINK, onePhaseRequest(2, [add(5)], key));
  database.keysForgottenUpToMs = keyTimeMs(key)! + 1;
  database.receipts.clear();
  letGo();
  expect(await again).toMatchObject({ kind: "no", refusal: { code: "idempotency-key-expired" } });
  expect(database.items.get("a")).toBe(105n);
});

test("neither running nor settling under an expired key says aborted, because the first attempt may have committed", async () => {
  const { node, database } = createNode();
  const key = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f";
  await node.handle(LINK, onePhaseRequest(1, [add(-100)], key));
  database.keysForgottenUpToMs = keyTimeMs(key)! + 1;
  database.receipts.clear();
  const again = await node.handle(LINK, onePhaseRequest(2, [add(-100)], key));
  expect(again).toMatchObject({ kind: "no", refusal: { code: "idempotency-key-expired" } });
  expect(await node.handle(LINK, settle(3, key))).toMatchObject({ kind: "retry" });
  expect(await node.handle(LINK, settle(3))).toEqual({ kind: "aborted" });
});

test("a key that is expired is answered from its receipt as long as that is there", async () => {
  const { node, database } = createNode();
  const key = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f";
  await node.handle(LINK, onePhaseRequest(1, [add(5)], key));
  database.keysForgottenUpToMs = keyTimeMs(key)! + 1;
  expect(await node.handle(LINK, onePhaseRequest(2, [add(5)], key))).toMatchObject({
    kind: "committed",
    replayed: true,
  });
});

test("a branch of several shards is refused under the key of what this shard did alone", async () => {
  const { node, database } = createNode();
  await node.handle(LINK, onePhaseRequest(1, [add(5)], "k"));
  for (const [sequence, operations] of [
    [2, [add(7)]],
    [3, [add(-500)]],
    [4, [operation(READ, "a")]],
  ] as const) {
    const vote = await node.handle(
      LINK,
      executeRequest(sequence, operations, { members: [memberOf(sequence, operations, "k")] }),
    );
    expect(vote).toMatchObject({ kind: "no", refusal: { code: "idempotency-key-reused" } });
  }
  expect(database.items.get("a")).toBe(105n);
  expect(database.prepared.size).toBe(0);
});

test("an attempt that fails because an earlier one took effect is answered from its receipt", async () => {
  const { node, database } = createNode();
  await node.handle(LINK, onePhaseRequest(1, [add(-100)], "k"));
  expect(await node.handle(LINK, onePhaseRequest(2, [add(-100)], "k"))).toMatchObject({
    kind: "committed",
    replayed: true,
  });
  expect(database.items.get("a")).toBe(0n);
});

test("attempts under one key run one after the other", async () => {
  const { node, hooks, database } = createNode();
  const release = hooks.hold("before commit");
  const first = node.handle(LINK, onePhaseRequest(1, [add(5)], "k"));
  const second = node.handle("link-2", onePhaseRequest(2, [add(5)], "k"));
  await settled();
  expect(hooks.reached.filter((point) => point === "before begin")).toHaveLength(1);
  release();
  expect(await first).toMatchObject({ replayed: false });
  expect(await second).toMatchObject({ replayed: true, transactionId: transactionIdOf(1) });
  expect(database.items.get("a")).toBe(105n);
});

test("an earlier attempt that arrives behind a no under its key is not run, a later one is", async () => {
  const { node, database } = createNode();
  const unmet = { ...add(5), expect: { rowCount: 7 } };
  expect(await node.handle(LINK, onePhaseRequest(2, [unmet], "k"))).toMatchObject({ kind: "no" });
  const late = onePhaseRequest(1, [add(5)], "k");
  expect(await node.handle(LINK, late)).toMatchObject({ kind: "unknown" });
  expect(database.items.get("a")).toBe(100n);
  const later = onePhaseRequest(3, [add(5)], "k");
  expect(await node.handle(LINK, later)).toMatchObject({ kind: "committed" });
});

test("an earlier attempt that was lost sight of at its commit does not land beside one that finds nothing to write", async () => {
  const { node, hooks, database } = createNode();
  hooks.verdicts.set("before commit", "late");
  const land = hooks.hold("late commit");
  expect(await node.handle(LINK, onePhaseRequest(1, [add(5)], "k"))).toMatchObject({
    kind: "unknown",
  });
  hooks.verdicts.clear();
  const goOn = hooks.hold("after execute");
  const again = node.handle("link-2", onePhaseRequest(2, [add(5, "nobody")], "k"));
  await settled();
  land();
  await settled();
  goOn();
  expect(await again).toMatchObject({ kind: "readOnly" });
  expect(database.items.get("a")).toBe(100n);
  expect(database.receipts.size).toBe(0);
});

test("an attempt that ran into another process' attempt at its commit is answered from that one", async () => {
  const { node, hooks, database } = createNode();
  const release = hooks.hold("before commit");
  const mine = node.handle(LINK, onePhaseRequest(1, [add(5, "b")], "k"));
  await settled();
  const theirs = {
    transactionId: transactionIdOf(7),
    idempotencyKey: "k",
    fingerprint: "print of k",
    results: [],
  };
  database.receipts.set(theirs.transactionId, theirs);
  release();
  expect(await mine).toMatchObject({ kind: "committed", transactionId: transactionIdOf(7) });
  expect(database.items.get("b")).toBe(100n);
});

test("where earlier attempts cannot be looked up the answer is unknown, not no", async () => {
  const { node, hooks } = createNode();
  hooks.verdicts.set("before execute", "lose");
  hooks.verdicts.set("before receipt", "lose");
  expect(await node.handle(LINK, onePhaseRequest(1, [add()], "k"))).toMatchObject({
    kind: "unknown",
  });
  expect(await node.handle(LINK, onePhaseRequest(2, [add()]))).toMatchObject({ kind: "no" });
});

test.each([
  ["after commit", "committed", 105n],
  ["before commit", "aborted", 100n],
] as const)("a reply lost %s is unknown, and settles as %s", async (point, outcome, value) => {
  const { node, hooks, database } = createNode();
  hooks.verdicts.set(point, "lose");
  expect(await node.handle(LINK, onePhaseRequest(1, [add(5)]))).toMatchObject({ kind: "unknown" });
  expect(await node.handle(LINK, settle(1))).toMatchObject({ kind: outcome });
  expect(database.items.get("a")).toBe(value);
});

test("a commit that comes late finds the tombstone", async () => {
  const { node, hooks, database } = createNode();
  hooks.verdicts.set("before commit", "late");
  const release = hooks.hold("late commit");
  expect(await node.handle(LINK, onePhaseRequest(1, [add(5)]))).toMatchObject({ kind: "unknown" });
  expect(await node.handle(LINK, settle(1))).toEqual({ kind: "aborted" });
  release();
  await settled();
  expect(database.items.get("a")).toBe(100n);
  expect(await node.handle(LINK, settle(1))).toEqual({ kind: "aborted" });
});

test("settling ends what still runs, and keeps what has not come from running", async () => {
  const fixture = createNode();
  await lockItem(fixture);
  const reply = fixture.node.handle(LINK, onePhaseRequest(1, [add()]));
  await settled();
  expect(await fixture.node.handle(LINK, settle(1))).toEqual({ kind: "aborted" });
  expect(await reply).toMatchObject({ kind: "no" });
  expect(await fixture.node.handle(LINK, settle(2))).toEqual({ kind: "aborted" });
  expect(await fixture.node.handle(LINK, onePhaseRequest(2, [add(1, "b")]))).toMatchObject({
    kind: "no",
  });
  expect(fixture.database.items.get("b")).toBe(100n);
  expect(await fixture.node.handle(LINK, settle(2))).toEqual({ kind: "aborted" });
});

test.each([3_000_000, 2])(
  "settling what no leader has begun, as place %i, refuses no transaction that comes later",
  async (madeUp) => {
    const { node } = createNode();
    await node.handle(LINK, executeRequest(1, [add()]));
    const transactionId = onePhaseTransactionId(ballotOf(1), madeUp, "abcdefgh", SHARD);
    await node.handle(LINK, { ...settle(madeUp), transactionId });
    expect(await node.handle(LINK, onePhaseRequest(2, [add(1, "b")]))).toMatchObject({
      kind: "committed",
    });
    expect(await node.handle(LINK, executeRequest(3, [add(1, "b")]))).toMatchObject({
      kind: "prepared",
    });
  },
);

test("settling by key finds the earlier attempt that committed", async () => {
  const { node } = createNode();
  await node.handle(LINK, onePhaseRequest(1, [add(5)], "k"));
  expect(await node.handle(LINK, settle(2, "k"))).toEqual({
    kind: "committed",
    results,
    transactionId: transactionIdOf(1),
  });
  expect(await node.handle(LINK, settle(3, "another key"))).toEqual({ kind: "aborted" });
});

test("settling waits for a database that is down", async () => {
  const { node, database } = createNode();
  database.crash();
  expect(await node.handle(LINK, settle(1))).toMatchObject({ kind: "retry" });
  database.restart();
  expect(await node.handle(LINK, settle(1))).toEqual({ kind: "aborted" });
});

test("an unmet expectation is a no that names the operation", async () => {
  const { node, database } = createNode();
  const operations = [{ ...add(1, "nobody"), index: 4, expect: { rowCount: 1 } }];
  expect(await node.handle(LINK, onePhaseRequest(1, operations))).toMatchObject({
    kind: "no",
    refusal: { code: "expectation-failed", operation: 4 },
  });
  expect(database.processes.size).toBe(0);
});

test("a lost link rolls back what has not committed", async () => {
  const fixture = createNode();
  await lockItem(fixture);
  const reply = fixture.node.handle(LINK, onePhaseRequest(1, [add()]));
  await settled();
  fixture.node.linkLost(LINK);
  expect(await reply).toMatchObject({ kind: "no", refusal: { code: "coordinator-changed" } });
  expect(fixture.node.view().onePhase).toBe(0);
});

test("a one-phase transaction needs a place like any branch", async () => {
  const fixture = createNode({ maxBranches: 1 });
  await lockItem(fixture);
  expect(await fixture.node.handle(LINK, onePhaseRequest(1, [add(1, "b")]))).toMatchObject({
    kind: "no",
    refusal: { code: "overloaded" },
  });
});

test("a request that was meant for others is not run, and not denied", async () => {
  const { node, database } = createNode();
  await node.handle(LINK, onePhaseRequest(1, [add(5)]));
  expect(await node.handle(LINK, onePhaseRequest(1, [add(5)]))).toMatchObject({ kind: "unknown" });
  const forAnother = onePhaseRequest(2, [add(5)], undefined, { bootId: "boot-0" });
  expect(await node.handle(LINK, forAnother)).toMatchObject({ kind: "unknown" });
  await node.handle(LINK, { kind: "list", ballot: ballotOf(2) });
  expect(await node.handle(LINK, onePhaseRequest(3, [add(5)]))).toMatchObject({ kind: "unknown" });
  expect(database.items.get("a")).toBe(105n);
});
