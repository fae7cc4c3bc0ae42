import type { Vote } from "../../shared/model/protocol.ts";
import type { Xid } from "../../shared/model/ids.ts";
import {
  createNode,
  executeRequest,
  gidOf,
  LINK,
  type NodeFixture,
  SHARD,
} from "./node-fixture.ts";
import { ADD, operation } from "./shard-contract.ts";
import { settled } from "./test-clock.ts";

async function prepare({ node }: NodeFixture, sequence: number, id = "a"): Promise<Xid> {
  const vote = (await node.handle(LINK, executeRequest(sequence, [operation(ADD, 1, id)]))) as Vote;
  if (vote.kind !== "prepared") throw new Error(JSON.stringify(vote));
  return vote.xid;
}

test("a branch in doubt for long is asked about, and committed when that was decided", async () => {
  const fixture = createNode({ inquiryAfterMs: 1_000 });
  const { node, clock, inquirer, database } = fixture;
  node.start();
  const xid = await prepare(fixture, 1);
  inquirer.answer = { kind: "committed", xid };
  await clock.advance(900);
  expect(inquirer.asked).toEqual([]);
  expect(node.view()).toMatchObject({ prepared: 1, inDoubt: 0 });
  await clock.advance(200);
  expect(inquirer.asked).toEqual([
    { shard: SHARD, branches: [{ carrierId: executeRequest(1, []).carrierId, xid }] },
  ]);
  expect(database.items.get("a")).toBe(101n);
  expect(node.view()).toMatchObject({ prepared: 0, counts: { committed: 1 } });
});

test("undecided changes nothing, however long it takes, and the questions become rare", async () => {
  const fixture = createNode({ inquiryAfterMs: 100 });
  fixture.node.start();
  await prepare(fixture, 1);
  await fixture.clock.advance(60_000);
  expect(fixture.database.prepared.size).toBe(1);
  expect(fixture.inquirer.asked.length).toBeGreaterThan(10);
  expect(fixture.inquirer.asked.length).toBeLessThan(40);
  fixture.inquirer.answer = { kind: "aborted" };
  await fixture.clock.advance(5_100);
  expect(fixture.database.prepared.size).toBe(0);
  expect(fixture.database.items.get("a")).toBe(100n);
});

test("every coordinator is asked before giving up for now", async () => {
  const fixture = createNode({ inquiryAfterMs: 100 });
  fixture.inquirer.coordinators = 3;
  fixture.node.start();
  await prepare(fixture, 1);
  await fixture.clock.advance(100);
  expect(fixture.inquirer.asked).toHaveLength(3);
  fixture.inquirer.answer = undefined;
  await fixture.clock.advance(200);
  expect(fixture.inquirer.asked.length).toBeGreaterThanOrEqual(6);
  expect(fixture.database.prepared.size).toBe(1);
});

test("branches of an earlier incarnation are in doubt at once", async () => {
  const fixture = createNode();
  await prepare(fixture, 1);
  await prepare(fixture, 2, "b");
  fixture.inquirer.answer = { kind: "aborted" };
  const node = fixture.restart("boot-2");
  node.start();
  await fixture.clock.advance(100);
  expect(fixture.inquirer.asked[0]?.branches).toHaveLength(2);
  expect(fixture.database.prepared.size).toBe(0);
  expect(node.view()).toMatchObject({ prepared: 0, counts: { aborted: 2 } });
});

test("branches of an earlier incarnation count against admission", async () => {
  const fixture = createNode({ maxBranches: 1 });
  await prepare(fixture, 1);
  const node = fixture.restart("boot-2");
  node.start();
  await settled();
  expect(node.view()).toMatchObject({ prepared: 1, inDoubt: 1 });
  const request = executeRequest(2, [operation(ADD, 1, "b")], { bootId: "boot-2" });
  expect(await node.handle(LINK, request)).toMatchObject({ refusal: { code: "overloaded" } });
});

test("the first scan is repeated until the database answers", async () => {
  const fixture = createNode();
  await prepare(fixture, 1);
  fixture.database.crash();
  const node = fixture.restart("boot-2");
  node.start();
  await fixture.clock.advance(1_000);
  expect(node.view().prepared).toBe(0);
  fixture.database.restart();
  await fixture.clock.advance(100);
  expect(node.view().prepared).toBe(1);
});

test("a branch that comes back after it ended is found by the rescan", async () => {
  const fixture = createNode({ rescanIntervalMs: 5_000 });
  const { node, clock, inquirer, database } = fixture;
  node.start();
  const xid = await prepare(fixture, 1);
  const transaction = database.prepared.get(gidOf(1))!;
  await node.handle(LINK, { kind: "commit", gid: gidOf(1), xid });
  database.items.set("a", 100n);
  database.prepared.set(gidOf(1), transaction);
  transaction.state = "prepared";
  inquirer.answer = { kind: "committed", xid: null };
  await clock.advance(5_200);
  expect(database.prepared.size).toBe(0);
  expect(database.items.get("a")).toBe(101n);
});

test("a committed decision about another xid is an incident, and is not acted on", async () => {
  const fixture = createNode({ inquiryAfterMs: 100 });
  fixture.node.start();
  await prepare(fixture, 1);
  fixture.inquirer.answer = { kind: "committed", xid: "5" as Xid };
  await fixture.clock.advance(20_000);
  expect(fixture.database.prepared.size).toBe(1);
  expect(fixture.node.view()).toMatchObject({ incidentCount: 1, inDoubt: 1 });
});

test("a forgotten branch is an incident, and is not acted on", async () => {
  const fixture = createNode({ inquiryAfterMs: 100 });
  fixture.node.start();
  await prepare(fixture, 1);
  fixture.inquirer.answer = { kind: "forgotten" };
  await fixture.clock.advance(20_000);
  expect(fixture.database.prepared.size).toBe(1);
  expect(fixture.node.view().incidentCount).toBe(1);
});

test("a branch whose coordinator is gone is asked about soon", async () => {
  const fixture = createNode({ inquiryAfterMs: 60_000 });
  fixture.node.start();
  await prepare(fixture, 1);
  fixture.node.linkLost(LINK);
  fixture.inquirer.answer = { kind: "aborted" };
  await fixture.clock.advance(200);
  expect(fixture.database.prepared.size).toBe(0);
});

test("an end that could not be brought about is attempted again without being asked for", async () => {
  const fixture = createNode();
  fixture.node.start();
  const xid = await prepare(fixture, 1);
  fixture.hooks.verdicts.set("before commitPrepared", "lose");
  const commit = { kind: "commit", gid: gidOf(1), xid } as const;
  expect(await fixture.node.handle(LINK, commit)).toMatchObject({ kind: "retry" });
  fixture.hooks.verdicts.clear();
  await fixture.clock.advance(1_000);
  expect(fixture.database.items.get("a")).toBe(101n);
  expect(fixture.inquirer.asked).toEqual([]);
});

test("a branch that voted no while the database was down is rolled back when it is up", async () => {
  const fixture = createNode();
  fixture.node.start();
  fixture.hooks.verdicts.set("after prepare", "lose");
  fixture.hooks.verdicts.set("before fence", "lose");
  const request = executeRequest(1, [operation(ADD, 1, "a")]);
  expect(await fixture.node.handle(LINK, request)).toMatchObject({ kind: "no" });
  await settled();
  expect(fixture.database.prepared.size).toBe(1);
  fixture.hooks.verdicts.clear();
  await fixture.clock.advance(1_000);
  expect(fixture.database.prepared.size).toBe(0);
  expect(fixture.inquirer.asked).toEqual([]);
});

test("a stopped participant asks nobody any more", async () => {
  const fixture = createNode({ inquiryAfterMs: 100 });
  fixture.node.start();
  await prepare(fixture, 1);
  await fixture.node.stop();
  await fixture.clock.advance(10_000);
  expect(fixture.inquirer.asked).toEqual([]);
});
