/** Who waits for whom, by carrier, from a participant on the twin of a database. */
import { MemoryShard } from "../../participant/shard/memory-shard.ts";
import { NO_HOOKS } from "../../participant/shard/memory-hooks.ts";
import { carrierId, type GlobalId } from "../../shared/model/ids.ts";
import type { BranchOperation, WaitsReply } from "../../shared/model/protocol.ts";
import {
  ballotOf,
  createNode,
  executeRequest,
  gidOf,
  LINK,
  type NodeFixture,
  onePhaseRequest,
} from "./node-fixture.ts";
import { ADD, operation } from "./shard-contract.ts";
import { settled } from "./test-clock.ts";

const LOOK_AFTER_MS = 50;
const add = (id = "a"): BranchOperation => operation(ADD, 1, id);
const carrier = (sequence: number) => carrierId(ballotOf(1), sequence);

async function waitsOf({ node }: NodeFixture): Promise<readonly (readonly [string, string])[]> {
  const reply = (await node.handle(LINK, { kind: "waits" })) as WaitsReply;
  if (reply.kind !== "waits") throw new Error(reply.sentence);
  return reply.waits.map(({ waiter, holder }) => [waiter, holder]);
}

/** Branch 1 is prepared and holds item `a`; branch 2 waits for it. */
async function twoInTheWay(): Promise<NodeFixture> {
  const fixture = createNode();
  await fixture.node.handle(LINK, executeRequest(1, [add()]));
  void fixture.node.handle(LINK, executeRequest(2, [add()]));
  await settled();
  return fixture;
}

test("a branch waits for one that is prepared, when it has been running for long enough", async () => {
  const fixture = await twoInTheWay();
  expect(await waitsOf(fixture)).toEqual([]);
  expect(fixture.hooks.reached).not.toContain("before waits");
  await fixture.clock.advance(LOOK_AFTER_MS);
  expect(await waitsOf(fixture)).toEqual([[carrier(2), carrier(1)]]);
  await fixture.node.handle(LINK, { kind: "abort", gid: gidOf(1) });
  expect(await waitsOf(fixture)).toEqual([]);
});

test("transactions of one shard wait, and are waited for, like others", async () => {
  const fixture = createNode();
  await fixture.node.handle(LINK, executeRequest(1, [add()]));
  void fixture.node.handle(LINK, onePhaseRequest(2, [add("b"), add()]));
  await settled();
  void fixture.node.handle(LINK, executeRequest(3, [add("b")]));
  await fixture.clock.advance(LOOK_AFTER_MS);
  expect(await waitsOf(fixture)).toEqual([
    [carrier(2), carrier(1)],
    [carrier(3), carrier(2)],
  ]);
});

test("what others have prepared is nobody's carrier", async () => {
  const fixture = createNode();
  const others = new MemoryShard(fixture.database, NO_HOOKS, fixture.clock);
  const session = await others.begin({ isolation: "read committed", timeoutMs: 1_000 });
  await session.executeAndPrepare([add()], "their gid" as GlobalId, 1_000);
  void fixture.node.handle(LINK, executeRequest(2, [add()]));
  await fixture.clock.advance(LOOK_AFTER_MS);
  expect(await waitsOf(fixture)).toEqual([]);
  expect(fixture.hooks.reached).toContain("before waits");
});

test("who asks while a look is under way is answered by a later one, which all share", async () => {
  const fixture = await twoInTheWay();
  await fixture.clock.advance(LOOK_AFTER_MS);
  const release = fixture.hooks.hold("after waits");
  const [first, ...later] = [waitsOf(fixture), waitsOf(fixture), waitsOf(fixture)];
  await settled();
  const others = [waitsOf(fixture), waitsOf(fixture)];
  release();
  const waits = await Promise.all([first, ...later, ...others]);
  expect(waits).toEqual(Array(5).fill([[carrier(2), carrier(1)]]));
  expect(fixture.hooks.reached.filter((point) => point === "before waits")).toHaveLength(2);
});

test("a database that does not answer is no answer", async () => {
  const fixture = await twoInTheWay();
  await fixture.clock.advance(LOOK_AFTER_MS);
  fixture.hooks.verdicts.set("before waits", "lose");
  expect(await fixture.node.handle(LINK, { kind: "waits" })).toMatchObject({ kind: "retry" });
  fixture.hooks.verdicts.delete("before waits");
  expect(await waitsOf(fixture)).toHaveLength(1);
});
