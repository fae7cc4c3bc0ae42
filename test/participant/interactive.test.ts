import { SILENCE_GRACE_MS } from "../../participant/branches/interactive.ts";
import type { GlobalId, Xid } from "../../shared/model/ids.ts";
import { carrierId } from "../../shared/model/ids.ts";
import type {
  BranchAction,
  KeepReply,
  StatementReply,
  StatementRequest,
  Vote,
} from "../../shared/model/protocol.ts";
import {
  ballotOf,
  createNode,
  executeRequest,
  gidOf,
  LINK,
  type NodeFixture,
  prepareRequest,
  statementRequest,
} from "./node-fixture.ts";
import { ADD, operation, READ } from "./shard-contract.ts";
import { settled } from "./test-clock.ts";

const add = (amount = 1, id = "a"): BranchAction => ({
  kind: "operation",
  operation: operation(ADD, amount, id),
});
const read = (id: string): BranchAction => ({
  kind: "operation",
  operation: operation(READ, id),
});

const run = async (
  { node }: NodeFixture,
  seq: number,
  action: BranchAction,
  more: Partial<StatementRequest> = {},
): Promise<StatementReply> =>
  (await node.handle(LINK, statementRequest(1, seq, action, more))) as StatementReply;

const prepare = async ({ node }: NodeFixture): Promise<Vote> =>
  (await node.handle(LINK, prepareRequest(1))) as Vote;

/** Begins a step that waits for the lock of item `a`. */
async function waitForLock(fixture: NodeFixture): Promise<{ reply: Promise<StatementReply> }> {
  await fixture.node.handle(
    LINK,
    executeRequest(900, [operation(ADD, 1, "a")], { gid: gidOf(900) }),
  );
  const reply = run(fixture, 1, add());
  await settled();
  return { reply };
}

function expectNothingLeft({ database, node }: NodeFixture): void {
  expect(database.processes.size).toBe(0);
  expect(node.view()).toMatchObject({ open: 0 });
}

test("steps run one by one in one transaction, which is prepared when asked and commits once told", async () => {
  const fixture = createNode();
  expect(await run(fixture, 1, add(5))).toEqual({
    kind: "ran",
    result: { rowCount: 1, rows: [] },
    fields: [],
  });
  expect(await run(fixture, 4, read("a"))).toEqual({
    kind: "ran",
    result: { rowCount: 1, rows: [{ value: "105" }] },
    fields: [{ name: "value", type: "int8" }],
  });
  expect(fixture.database.items.get("a")).toBe(100n);
  const vote = await prepare(fixture);
  expect(vote).toEqual({ kind: "prepared", xid: "701", results: [] });
  expect(await prepare(fixture)).toEqual(vote);
  const commit = { kind: "commit", gid: gidOf(1), xid: "701" as Xid } as const;
  expect(await fixture.node.handle(LINK, commit)).toMatchObject({ kind: "committed" });
  expect(fixture.database.items.get("a")).toBe(105n);
});

test("a branch that only read votes readOnly, and keeps nothing", async () => {
  const fixture = createNode();
  await run(fixture, 1, read("a"));
  expect(await prepare(fixture)).toEqual({ kind: "readOnly", results: [] });
  expectNothingLeft(fixture);
});

test("the last step again gets the last reply again, also while it runs; an earlier one is refused", async () => {
  const fixture = createNode();
  const [first, same] = await Promise.all([run(fixture, 1, add()), run(fixture, 1, add())]);
  expect(same).toBe(first);
  await run(fixture, 2, add());
  expect(await run(fixture, 1, add())).toMatchObject({ kind: "no" });
  expect(await run(fixture, 2, add())).toMatchObject({ kind: "ran" });
  await run(fixture, 3, read("a"));
  expect(await run(fixture, 3, read("a"))).toMatchObject({ result: { rows: [{ value: "102" }] } });
});

test("a branch that was rolled back is never opened again", async () => {
  const fixture = createNode();
  await run(fixture, 1, add());
  await fixture.node.handle(LINK, { kind: "abort", gid: gidOf(1) });
  expectNothingLeft(fixture);
  expect(await run(fixture, 1, add())).toMatchObject({ kind: "no" });
  expect(await run(fixture, 2, add())).toMatchObject({ kind: "no" });
  expect(await prepare(fixture)).toMatchObject({ kind: "no" });
  expect(fixture.database.items.get("a")).toBe(100n);
});

test("an abort that overtakes the first step keeps it from ever running", async () => {
  const fixture = createNode();
  await fixture.node.handle(LINK, { kind: "abort", gid: gidOf(1) });
  expect(await run(fixture, 1, add())).toMatchObject({ kind: "no" });
  expectNothingLeft(fixture);
});

test("an abort frees the locks of an open branch before it is answered", async () => {
  const fixture = createNode();
  await run(fixture, 1, add());
  expect(await fixture.node.handle(LINK, { kind: "abort", gid: gidOf(1) })).toEqual({
    kind: "aborted",
  });
  const other = executeRequest(2, [operation(ADD, 1, "a")], { timeoutMs: 10 });
  expect(await fixture.node.handle(LINK, other)).toMatchObject({ kind: "prepared" });
});

test("an abort ends a step that waits for a lock, and the branch with it", async () => {
  const fixture = createNode();
  const { reply } = await waitForLock(fixture);
  expect(await fixture.node.handle(LINK, { kind: "abort", gid: gidOf(1) })).toEqual({
    kind: "aborted",
  });
  expect(await reply).toMatchObject({ kind: "no", refusal: { code: "transaction-timeout" } });
});

test.each(["open", "running"])("a lost link rolls an %s branch back at once", async (when) => {
  const fixture = createNode();
  const reply = when === "open" ? undefined : (await waitForLock(fixture)).reply;
  if (when === "open") await run(fixture, 1, add());
  fixture.node.linkLost("another link");
  await settled();
  expect(fixture.node.view().open).toBe(1);
  fixture.node.linkLost(LINK);
  await settled();
  expect(fixture.node.view().open).toBe(0);
  if (reply !== undefined) {
    expect(await reply).toMatchObject({ kind: "no", refusal: { code: "coordinator-changed" } });
  }
  expect(await prepare(fixture)).toMatchObject({ kind: "no" });
  expect(fixture.database.prepared.has(gidOf(1))).toBe(false);
});

test.each([
  ["a list", { kind: "list", ballot: ballotOf(2) } as const],
  [
    "another leader's step",
    statementRequest(1, 1, read("b"), {
      ballot: ballotOf(2),
      carrierId: carrierId(ballotOf(2), 1),
      gid: gidOf(1, 2),
    }),
  ],
])(
  "%s of a higher ballot rolls an open branch back, and lower ballots are refused",
  async (_, request) => {
    const fixture = createNode();
    await run(fixture, 1, add());
    await fixture.node.handle("link-2", request);
    await settled();
    expect(await run(fixture, 2, add())).toMatchObject({
      kind: "no",
      refusal: { code: "coordinator-changed" },
    });
    expect(await prepare(fixture)).toMatchObject({
      kind: "no",
      refusal: { code: "coordinator-changed" },
    });
    expect(fixture.database.items.get("a")).toBe(100n);
  },
);

test("steps and prepare that were meant for another incarnation are refused", async () => {
  const fixture = createNode();
  expect(await run(fixture, 1, add(), { bootId: "boot-0" })).toMatchObject({ kind: "no" });
  expect(fixture.database.processes.size).toBe(0);
  await run(fixture, 1, add());
  const node = fixture.restart("boot-2");
  expect(await node.handle(LINK, statementRequest(1, 2, add()))).toMatchObject({ kind: "no" });
  expect(await node.handle(LINK, prepareRequest(1))).toMatchObject({ kind: "no" });
});

test("an open branch that hears nothing is rolled back after its limit and a grace; word of it puts that off", async () => {
  const fixture = createNode();
  const { clock, node } = fixture;
  const limitMs = 10_000 + SILENCE_GRACE_MS;
  const keep = async (...gids: GlobalId[]): Promise<KeepReply> =>
    (await node.handle(LINK, { kind: "keep", gids })) as KeepReply;
  await run(fixture, 1, add());
  await clock.advance(limitMs - 1);
  expect(await keep(gidOf(1), gidOf(7))).toEqual({ kind: "kept", unknown: [gidOf(7)] });
  await clock.advance(limitMs - 1);
  await run(fixture, 2, add());
  await clock.advance(limitMs - 1);
  expect(node.view().open).toBe(1);
  await clock.advance(1);
  expectNothingLeft(fixture);
  expect(await keep(gidOf(1))).toEqual({ kind: "kept", unknown: [gidOf(1)] });
  expect(await run(fixture, 3, add())).toMatchObject({ kind: "no" });
});

test("a branch that has voted is not rolled back for silence", async () => {
  const fixture = createNode();
  await run(fixture, 1, add());
  await prepare(fixture);
  await fixture.clock.advance(100_000);
  expect(fixture.database.prepared.has(gidOf(1))).toBe(true);
});

test("without a savepoint a failed statement ends the branch; its locks are free with the answer", async () => {
  const fixture = createNode();
  await run(fixture, 1, add());
  expect(await run(fixture, 2, add(-500, "b"))).toEqual({
    kind: "no",
    refusal: expect.objectContaining({ code: "constraint-violation" }) as unknown,
  });
  expectNothingLeft(fixture);
});

test("under a savepoint a failed statement is mended by going back, and by nothing else", async () => {
  const fixture = createNode();
  await run(fixture, 1, add(3));
  await run(fixture, 2, { kind: "savepoint", name: "s" });
  const failed = await run(fixture, 3, add(-500, "b"), { outlivesFailure: true });
  expect(failed).toMatchObject({ kind: "failed", refusal: { code: "constraint-violation" } });
  expect(await run(fixture, 4, add())).toEqual(failed);
  expect(await run(fixture, 5, { kind: "rollbackTo", name: "s" })).toMatchObject({ kind: "ran" });
  expect(await run(fixture, 6, add(4))).toMatchObject({ kind: "ran" });
  const vote = await prepare(fixture);
  if (vote.kind !== "prepared") throw new Error("not prepared");
  await fixture.node.handle(LINK, { kind: "commit", gid: gidOf(1), xid: vote.xid });
  expect([...fixture.database.items.values()]).toEqual([107n, 100n]);
});

test("a failed branch votes no", async () => {
  const fixture = createNode();
  const opens = { opens: { savepoints: ["s"] }, outlivesFailure: true };
  await run(fixture, 1, add(-500), opens);
  expect(await prepare(fixture)).toMatchObject({
    kind: "no",
    refusal: { code: "constraint-violation" },
  });
  expectNothingLeft(fixture);
});

test("an unmet expectation is a failure like others, in words without a place", async () => {
  const fixture = createNode();
  const expecting: BranchAction = {
    kind: "operation",
    operation: { ...operation(ADD, 1, "nobody"), expect: { rowCount: 1 } },
  };
  expect(await run(fixture, 1, expecting)).toEqual({
    kind: "no",
    refusal: { code: "expectation-failed", sentence: "the statement touched 0 rows, expected 1" },
  });
});

test("a step that never begins before its link is lost runs nothing", async () => {
  const fixture = createNode();
  const release = fixture.hooks.hold("before begin");
  const reply = run(fixture, 1, add());
  await settled();
  fixture.node.linkLost(LINK);
  release();
  expect(await reply).toMatchObject({ kind: "no", refusal: { code: "coordinator-changed" } });
  expect(fixture.hooks.reached).not.toContain("before execute");
  expectNothingLeft(fixture);
});

test("a step whose answer is lost ends the branch", async () => {
  const fixture = createNode();
  await run(fixture, 1, add());
  fixture.hooks.verdicts.set("after execute", "lose");
  expect(await run(fixture, 2, add())).toMatchObject({
    kind: "no",
    refusal: { code: "shard-unavailable" },
  });
  expectNothingLeft(fixture);
});

test("a prepare that meets a running step ends the branch", async () => {
  const fixture = createNode();
  const { reply } = await waitForLock(fixture);
  expect(await prepare(fixture)).toMatchObject({ kind: "no" });
  expect(await reply).toMatchObject({ kind: "no" });
});

test("a lost reply to PREPARE of an open branch is a no, and what was prepared is rolled back", async () => {
  const fixture = createNode();
  await run(fixture, 1, add());
  fixture.hooks.verdicts.set("after prepare", "lose");
  expect(await prepare(fixture)).toMatchObject({ kind: "no" });
  await settled();
  expect(fixture.database.prepared.size).toBe(0);
});

test("open branches take places, and one more is refused", async () => {
  const fixture = createNode({ maxBranches: 1 });
  await run(fixture, 1, add());
  expect(await fixture.node.handle(LINK, statementRequest(2, 1, add(1, "b")))).toMatchObject({
    kind: "no",
    refusal: { code: "overloaded" },
  });
  expect(await run(fixture, 2, add())).toMatchObject({ kind: "ran" });
});

test("a participant that shuts down lets open branches go on for its drain time, and rolls the rest back", async () => {
  const fixture = createNode({ drainTimeoutMs: 1_000 });
  await run(fixture, 1, add());
  const stopped = fixture.node.stop();
  expect(await run(fixture, 2, add())).toMatchObject({ kind: "ran" });
  expect(await fixture.node.handle(LINK, statementRequest(2, 1, add(1, "b")))).toMatchObject({
    kind: "no",
    refusal: { code: "draining" },
  });
  await fixture.clock.advance(1_100);
  await stopped;
  expectNothingLeft(fixture);
});
