import { ADD, LIST, NOTE, operation, READ } from "./shard-contract.ts";
import {
  ballotOf,
  CLUSTER,
  createNode,
  executeRequest,
  gidOf,
  LINK,
  memberOf,
  type NodeFixture,
  type TestHooks,
} from "./node-fixture.ts";
import { globalId } from "../../shared/model/global-id.ts";
import { carrierId, type GlobalId, shardId, type Xid } from "../../shared/model/ids.ts";
import type { BranchOperation, Vote } from "../../shared/model/protocol.ts";
import { settled } from "./test-clock.ts";

const add = (amount = 1, id = "a"): BranchOperation => operation(ADD, amount, id);

async function prepare({ node }: NodeFixture, sequence: number, id = "a"): Promise<Xid> {
  const vote = (await node.handle(LINK, executeRequest(sequence, [add(1, id)]))) as Vote;
  if (vote.kind !== "prepared") throw new Error(JSON.stringify(vote));
  return vote.xid;
}

/** Begins a branch that waits for the lock of item `a`. */
async function waitForLock(
  fixture: NodeFixture,
  sequence: number,
): Promise<{ readonly vote: Promise<unknown> }> {
  await prepare(fixture, 900);
  const vote = fixture.node.handle(LINK, executeRequest(sequence, [add()]));
  await settled();
  return { vote };
}

const lose = (hooks: TestHooks, point: Parameters<TestHooks["hold"]>[0]): void => {
  hooks.verdicts.set(point, "lose");
};

test("a branch that writes votes prepared with its xid and results, and commits once told", async () => {
  const { node, database } = createNode();
  const vote = await node.handle(LINK, executeRequest(1, [add(5), operation(NOTE, "n", "")]));
  expect(vote).toEqual({
    kind: "prepared",
    xid: "701",
    results: [
      [
        { rowCount: 1, rows: [] },
        { rowCount: 1, rows: [] },
      ],
    ],
  });
  const commit = { kind: "commit", gid: gidOf(1), xid: "701" as Xid } as const;
  expect(await node.handle(LINK, commit)).toEqual({ kind: "committed", evidence: "commandTag" });
  expect(await node.handle(LINK, commit)).toEqual({ kind: "committed", evidence: "commandTag" });
  expect(database.items.get("a")).toBe(105n);
  expect(node.view()).toMatchObject({ open: 0, prepared: 0, counts: { committed: 1 } });
});

test("statements of which one only reads are looked at before PREPARE", async () => {
  const { node, hooks } = createNode();
  const vote = await node.handle(LINK, executeRequest(1, [operation(READ, "a"), add()]));
  expect(vote).toMatchObject({ kind: "prepared", results: [[{ rows: [{ value: "100" }] }, {}]] });
  expect(hooks.reached.filter((point) => point === "before prepare")).toHaveLength(1);
});

test.each([
  ["reads", [operation(READ, "a")]],
  ["writes to no row", [add(1, "nobody")]],
])("a branch that only %s votes readOnly and is not left prepared", async (_, operations) => {
  const { node, database } = createNode();
  const vote = await node.handle(LINK, executeRequest(1, operations));
  expect(vote).toMatchObject({ kind: "readOnly", results: [[{}]] });
  expect(database.prepared.size).toBe(0);
  expect(database.processes.size).toBe(0);
});

test("a failed statement is a no that names the operation, and nothing is left", async () => {
  const { node, database } = createNode();
  const operations = [
    { ...add(), index: 3 },
    { ...add(-500, "b"), index: 7 },
  ];
  expect(await node.handle(LINK, executeRequest(1, operations))).toEqual({
    kind: "no",
    refusal: {
      code: "constraint-violation",
      sentence: expect.stringContaining("items_value_check") as string,
      operation: 7,
      sqlstate: "23514",
      constraint: "items_value_check",
    },
  });
  expect(database.processes.size).toBe(0);
});

test.each([
  ["together with", [add(1, "nobody")]],
  ["before", [operation(LIST), add(1, "nobody")]],
])("an unmet expectation is a no, %s PREPARE", async (_, operations) => {
  const { node, database } = createNode();
  const last = operations.length - 1;
  const expecting = operations.map((one, index) =>
    index === last ? { ...one, index, expect: { rowCount: 1 } } : { ...one, index },
  );
  expect(await node.handle(LINK, executeRequest(1, expecting))).toMatchObject({
    kind: "no",
    refusal: { code: "expectation-failed", operation: last },
  });
  await settled();
  expect(database.prepared.size).toBe(0);
});

test("of several members each has its own results, and the one that fails is named", async () => {
  const { node, database } = createNode();
  const members = (...lists: readonly BranchOperation[][]) => ({
    members: lists.map((operations, index) => memberOf(100 + index, operations)),
  });
  const fine = members([add(1), operation(READ, "a")], [add(2)], [operation(READ, "a")]);
  expect(await node.handle(LINK, executeRequest(1, [], fine))).toMatchObject({
    kind: "prepared",
    results: [
      [{ rowCount: 1 }, { rows: [{ value: "101" }] }],
      [{ rowCount: 1 }],
      [{ rows: [{ value: "103" }] }],
    ],
  });
  await node.handle(LINK, { kind: "abort", gid: gidOf(1) });
  const unmet = { ...add(1, "nobody"), expect: { rowCount: 1 }, index: 3 };
  for (const [sequence, bad, code] of [
    [2, add(-500), "constraint-violation"],
    [3, unmet, "expectation-failed"],
  ] as const) {
    const request = executeRequest(sequence, [], members([add(1), add(1, "b")], [add(2), bad]));
    const { index: place } = bad;
    expect(await node.handle(LINK, request)).toMatchObject({
      kind: "no",
      refusal: { code, member: 1, operation: place },
    });
  }
  expect(database.items.get("a")).toBe(100n);
  expect(database.prepared.size).toBe(0);
});

test("a PREPARE that is answered by ROLLBACK is a no", async () => {
  const { node, hooks } = createNode();
  hooks.verdicts.set("before prepare", "rollback");
  expect(await node.handle(LINK, executeRequest(1, [add()]))).toMatchObject({
    kind: "no",
    refusal: { sentence: "PREPARE TRANSACTION was answered by ROLLBACK" },
  });
});

test("an execute that was meant for another incarnation is refused", async () => {
  const { node, database } = createNode();
  const request = executeRequest(1, [add()], { bootId: "boot-0" });
  expect(await node.handle(LINK, request)).toMatchObject({ kind: "no" });
  expect(database.prepared.size).toBe(0);
});

test("the same execute again gets the same vote while the branch lives, and a no afterwards", async () => {
  const { node, database } = createNode();
  const request = executeRequest(1, [add()]);
  const [first, second] = await Promise.all([
    node.handle(LINK, request),
    node.handle("l2", request),
  ]);
  expect(second).toEqual(first);
  expect(database.prepared.size).toBe(1);
  await node.handle(LINK, { kind: "commit", gid: gidOf(1), xid: "701" as Xid });
  expect(await node.handle(LINK, request)).toMatchObject({ kind: "no" });
  expect(database.items.get("a")).toBe(101n);
});

test("an abort that overtakes its execute keeps it from ever running", async () => {
  const { node, database } = createNode();
  expect(await node.handle(LINK, { kind: "abort", gid: gidOf(1) })).toEqual({ kind: "aborted" });
  expect(await node.handle(LINK, executeRequest(1, [add()]))).toMatchObject({ kind: "no" });
  expect(database.prepared.size).toBe(0);
});

test("a lower ballot than the highest that was heard of is refused", async () => {
  const { node } = createNode();
  const higher = { ballot: ballotOf(3), carrierId: carrierId(ballotOf(3), 1), gid: gidOf(1, 3) };
  expect(await node.handle(LINK, executeRequest(1, [add()], higher))).toMatchObject({
    kind: "prepared",
  });
  expect(await node.handle(LINK, executeRequest(2, [add(1, "b")]))).toMatchObject({
    kind: "no",
    refusal: { code: "coordinator-changed" },
  });
  const list = { kind: "list", ballot: ballotOf(2) } as const;
  expect(await node.handle(LINK, list)).toMatchObject({ kind: "retry" });
});

test("a list with a higher ballot stops what lower ones have running, and shows what is prepared", async () => {
  const fixture = createNode();
  const { vote } = await waitForLock(fixture, 1);
  const reply = await fixture.node.handle(LINK, { kind: "list", ballot: ballotOf(2) });
  expect(await vote).toMatchObject({ kind: "no", refusal: { code: "coordinator-changed" } });
  expect(reply).toEqual({
    kind: "prepared",
    branches: [{ gid: gidOf(900), carrierId: carrierId(ballotOf(1), 900), xid: "701" }],
  });
});

test("only gids of this cluster and shard are touched", async () => {
  const fixture = createNode();
  const { node, database } = fixture;
  const foreign = globalId(CLUSTER, carrierId(ballotOf(1), 1), shardId("s2"));
  for (const gid of [foreign, "citus_0_1_2", "synod_other_1-1-1_s1"] as GlobalId[]) {
    await expect(node.handle(LINK, { kind: "abort", gid })).rejects.toThrow("no branch");
    const commit = { kind: "commit", gid, xid: "1" as Xid } as const;
    await expect(node.handle(LINK, commit)).rejects.toThrow("no branch");
  }
  await prepare(fixture, 1);
  const [transaction] = database.prepared.values();
  database.prepared.clear();
  database.prepared.set(foreign, transaction!);
  expect(await node.handle(LINK, { kind: "list", ballot: ballotOf(1) })).toEqual({
    kind: "prepared",
    branches: [],
  });
});

test("an abort ends a branch that waits for a lock", async () => {
  const fixture = createNode();
  const { vote } = await waitForLock(fixture, 1);
  const reply = await fixture.node.handle(LINK, { kind: "abort", gid: gidOf(1) });
  expect(reply).toEqual({ kind: "aborted" });
  expect(await vote).toMatchObject({ kind: "no" });
});

test("an abort rolls a prepared branch back, and repeats as aborted", async () => {
  const fixture = createNode();
  await prepare(fixture, 1);
  const abort = { kind: "abort", gid: gidOf(1) } as const;
  expect(await fixture.node.handle(LINK, abort)).toEqual({ kind: "aborted" });
  expect(await fixture.node.handle(LINK, abort)).toEqual({ kind: "aborted" });
  expect(fixture.database.prepared.size).toBe(0);
});

test("a lost link rolls back what has not voted, and leaves what has", async () => {
  const fixture = createNode();
  const { vote } = await waitForLock(fixture, 1);
  fixture.node.linkLost("another link");
  await settled();
  expect(fixture.node.view().open).toBe(1);
  fixture.node.linkLost(LINK);
  expect(await vote).toMatchObject({ kind: "no", refusal: { code: "coordinator-changed" } });
  expect([...fixture.database.prepared.keys()]).toEqual([gidOf(900)]);
});

test("a link that is lost before the connection is there keeps the statements from running", async () => {
  const { node, hooks, database } = createNode();
  const release = hooks.hold("before begin");
  const vote = node.handle(LINK, executeRequest(1, [add()]));
  await settled();
  node.linkLost(LINK);
  release();
  expect(await vote).toMatchObject({ kind: "no", refusal: { code: "coordinator-changed" } });
  expect(hooks.reached).not.toContain("before execute");
  expect(database.processes.size).toBe(0);
});

test("more branches than allowed are refused, those in doubt included", async () => {
  const fixture = createNode({ maxBranches: 2 });
  await prepare(fixture, 1, "a");
  await prepare(fixture, 2, "b");
  const third = executeRequest(3, [operation(NOTE, "n", "")]);
  expect(await fixture.node.handle(LINK, third)).toMatchObject({
    kind: "no",
    refusal: { code: "overloaded" },
  });
  await fixture.node.handle(LINK, { kind: "abort", gid: gidOf(1) });
  expect(await fixture.node.handle(LINK, third)).toMatchObject({ kind: "prepared" });
});

test("a lost reply to PREPARE is a no, and what was prepared is rolled back", async () => {
  const { node, hooks, database } = createNode();
  lose(hooks, "after prepare");
  expect(await node.handle(LINK, executeRequest(1, [add()]))).toMatchObject({
    kind: "no",
    refusal: { code: "shard-unavailable" },
  });
  await settled();
  expect(database.prepared.size).toBe(0);
  expect(node.view()).toMatchObject({ open: 0, counts: { aborted: 1 } });
});

test("a PREPARE that may still come is fenced before the branch counts as gone", async () => {
  const { node, hooks, database } = createNode();
  hooks.verdicts.set("before prepare", "late");
  const release = hooks.hold("late prepare");
  expect(await node.handle(LINK, executeRequest(1, [add()]))).toMatchObject({ kind: "no" });
  await settled();
  expect(node.view()).toMatchObject({ open: 0, counts: { aborted: 1 } });
  release();
  await settled();
  expect(database.prepared.size).toBe(0);
});

test("a commit whose reply is lost is confirmed by the transaction's status", async () => {
  const fixture = createNode();
  const xid = await prepare(fixture, 1);
  lose(fixture.hooks, "after commitPrepared");
  const commit = { kind: "commit", gid: gidOf(1), xid } as const;
  expect(await fixture.node.handle(LINK, commit)).toMatchObject({ kind: "retry" });
  fixture.hooks.verdicts.clear();
  expect(await fixture.node.handle(LINK, commit)).toEqual({
    kind: "committed",
    evidence: "transactionStatus",
  });
});

test.each(["in the same incarnation", "after a restart"])(
  "a committed decision for a branch that was rolled back is an incident, %s",
  async (when) => {
    const fixture = createNode();
    const xid = await prepare(fixture, 1);
    const transaction = fixture.database.prepared.get(gidOf(1))!;
    fixture.database.prepared.delete(gidOf(1));
    fixture.database.rollback(transaction);
    const node = when === "after a restart" ? fixture.restart("boot-2") : fixture.node;
    const commit = { kind: "commit", gid: gidOf(1), xid } as const;
    expect(await node.handle(LINK, commit)).toMatchObject({ kind: "lost" });
    expect(await node.handle(LINK, commit)).toMatchObject({ kind: "lost" });
    expect(node.view()).toMatchObject({ incidentCount: 1, incidents: [{ gid: gidOf(1) }] });
  },
);

test("a branch of the same gid with another xid is never committed", async () => {
  const fixture = createNode();
  await prepare(fixture, 1);
  const commit = { kind: "commit", gid: gidOf(1), xid: "5" as Xid } as const;
  for (const node of [fixture.node, fixture.restart("boot-2")]) {
    expect(await node.handle(LINK, commit)).toMatchObject({ kind: "lost" });
    expect(fixture.database.prepared.size).toBe(1);
    expect(node.view().incidentCount).toBe(1);
  }
});

test("after a restart a branch is committed and aborted as the shard shows it", async () => {
  const fixture = createNode();
  const xid = await prepare(fixture, 1);
  await prepare(fixture, 2, "b");
  const node = fixture.restart("boot-2");
  const commit = { kind: "commit", gid: gidOf(1), xid } as const;
  expect(await node.handle(LINK, commit)).toEqual({ kind: "committed", evidence: "commandTag" });
  expect(await node.handle(LINK, { kind: "abort", gid: gidOf(2) })).toEqual({ kind: "aborted" });
  expect([...fixture.database.items.values()]).toEqual([101n, 100n]);
});

test("an abort for a branch that committed is an incident", async () => {
  const fixture = createNode();
  const xid = await prepare(fixture, 1);
  await fixture.node.handle(LINK, { kind: "commit", gid: gidOf(1), xid });
  const abort = { kind: "abort", gid: gidOf(1) } as const;
  expect(await fixture.node.handle(LINK, abort)).toMatchObject({ kind: "lost" });
  expect(fixture.node.view().incidentCount).toBe(1);
});

test("while the database is down everything is asked to come again", async () => {
  const fixture = createNode();
  const xid = await prepare(fixture, 1);
  fixture.database.crash();
  const { node } = fixture;
  expect(await node.handle(LINK, executeRequest(2, [add()]))).toMatchObject({
    kind: "no",
    refusal: { code: "shard-unavailable" },
  });
  const commit = { kind: "commit", gid: gidOf(1), xid } as const;
  expect(await node.handle(LINK, commit)).toMatchObject({ kind: "retry" });
  expect(await node.handle(LINK, { kind: "abort", gid: gidOf(7) })).toMatchObject({
    kind: "retry",
  });
  expect(await node.handle(LINK, { kind: "list", ballot: ballotOf(1) })).toMatchObject({
    kind: "retry",
  });
  fixture.database.restart();
  expect(await node.handle(LINK, commit)).toMatchObject({ kind: "committed" });
});

test("a participant that shuts down takes nothing new and stops what has not voted", async () => {
  const fixture = createNode();
  const { vote } = await waitForLock(fixture, 1);
  await fixture.node.stop();
  expect(await vote).toMatchObject({ kind: "no", refusal: { code: "draining" } });
  expect(await fixture.node.handle(LINK, executeRequest(2, [add(1, "b")]))).toMatchObject({
    kind: "no",
    refusal: { code: "draining" },
  });
});
