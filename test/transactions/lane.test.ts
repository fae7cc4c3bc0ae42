/** One-shot transactions that share carriers: what each of them is answered, and what is left of those that fail. */
import { LANE_LIMITS } from "../../coordinator/transactions/lane/lane.ts";
import { NotLeader } from "../../coordinator/transactions/gateway.ts";
import { LIMITS, type TransactionRequest } from "../../shared/model/api.ts";
import type { ShardId } from "../../shared/model/ids.ts";
import type { BranchRequest } from "../../shared/model/protocol.ts";
import { ADD, READ } from "../participant/shard-contract.ts";
import { settled } from "../participant/test-clock.ts";
import { InteractiveWorld, type Leader, problem, S1, S2 } from "./support/interactive-world.ts";

type Asked = Partial<TransactionRequest> & { readonly key?: string; readonly client?: string };

function submit(leader: Leader, { key, client, ...request }: Asked) {
  const submission = {
    request: {
      isolation: "read committed" as const,
      waitFor: "applied" as const,
      timeoutMs: LIMITS.defaultTimeoutMs,
      operations: [],
      ...request,
    },
    idempotency: key === undefined ? null : { key, fingerprint: `print of ${key}` },
    ...(client !== undefined && { owner: { client, sealOf: () => "" } }),
  };
  return leader.oneShots.submit(submission);
}

const add = (shard: ShardId, amount: number, id = "a") => ({
  shard,
  sql: ADD,
  params: [amount, id],
});
const move = (amount: number) => ({ operations: [add(S1, -amount), add(S2, amount)] });

const executions = (world: InteractiveWorld) =>
  world.links.sent.filter(
    (request): request is Extract<BranchRequest, { kind: "execute" }> & { shard: ShardId } =>
      request.kind === "execute",
  );
const membersOn = (world: InteractiveWorld, shard: ShardId) =>
  executions(world).flatMap((one) => (one.shard === shard ? [one.members.length] : []));

const isAsked = (world: InteractiveWorld, amount: number) =>
  executions(world).some(({ members }) =>
    members.some(({ operations }) => operations.some(({ params }) => params[0] === amount)),
  );

interface Busy {
  readonly world: InteractiveWorld;
  readonly leader: Leader;
  /** Lets the carrier that executes on S1, and keeps others waiting, go on; resolves when it has committed. */
  readonly letGo: () => Promise<void>;
}

/** One transaction takes the ordinary path, the next one has the lane: who comes now waits for it. */
async function busyLane(): Promise<Busy> {
  const world = new InteractiveWorld();
  const leader = world.lead();
  const release = world.hooksOf(S1).hold("before execute");
  const first = submit(leader, { operations: [add(S1, 0, "b"), add(S2, 0, "b")] });
  await settled();
  const second = submit(leader, { operations: [add(S1, 0, "b"), add(S2, 0, "b")] });
  await settled();
  const both = Promise.allSettled([first, second]);
  const letGo = async (): Promise<void> => {
    release();
    await both;
  };
  return { world, leader, letGo };
}

test("those that come while a carrier executes go together, through one branch on each shard", async () => {
  const { world, leader, letGo } = await busyLane();
  const waiting = [1, 2, 4].map((amount) => submit(leader, move(amount)));
  await letGo();
  const answers = await Promise.all(waiting);
  expect(membersOn(world, S1)).toEqual([1, 1, 3]);
  expect(membersOn(world, S2)).toEqual([1, 1, 3]);
  expect(new Set(answers.map(({ response }) => response.id)).size).toBe(3);
  expect(world.books).toEqual([
    [93n, 100n],
    [107n, 100n],
  ]);
  expect(world.left).toEqual([0, 0]);
  expect(leader.lane.counts.committed).toEqual({ carriers: 2, members: 4 });
});

test("each is answered with its own results, and has a status of its own", async () => {
  const { leader, letGo } = await busyLane();
  const look = (shard: ShardId, id: string) => ({ shard, sql: READ, params: [id] });
  const waiting = [
    submit(leader, { operations: [add(S1, 7), add(S2, 0, "b"), look(S1, "a")] }),
    submit(leader, { operations: [look(S2, "b"), add(S1, 1), look(S1, "a")] }),
  ];
  await letGo();
  const [one, other] = await Promise.all(waiting);
  expect(one?.response.results.at(2)?.rows).toEqual([{ value: "107" }]);
  expect(other?.response.results.map(({ rows }) => rows)).toEqual([
    [{ value: "100" }],
    [],
    [{ value: "108" }],
  ]);
  for (const answer of [one, other]) {
    const status = await leader.oneShots.status(answer!.response.id as never);
    expect(status).toMatchObject({ state: "committed" });
  }
});

test("a member that fails takes nothing with it: it gets the answer that it has alone, and the others commit", async () => {
  const { world, leader, letGo } = await busyLane();
  const before = submit(leader, move(1));
  const failing = submit(leader, { operations: [add(S2, 5), add(S1, -500)] });
  const behind = submit(leader, move(2));
  await letGo();
  expect(await problem(failing)).toMatchObject({
    ...{ code: "constraint-violation", outcome: "aborted" },
    ...{ field: "operations[1]", shard: S1, constraint: "items_value_check" },
  });
  await Promise.all([before, behind]);
  expect(world.books).toEqual([
    [97n, 100n],
    [103n, 100n],
  ]);
  expect(world.left).toEqual([0, 0]);
});

test("an expectation that one member does not meet is that member's, and nobody else's", async () => {
  const { world, leader, letGo } = await busyLane();
  const fine = submit(leader, move(1));
  const nobody = { ...add(S1, 1, "nobody"), expect: { rowCount: 1 } };
  const failing = submit(leader, { operations: [add(S2, 50), nobody] });
  await letGo();
  expect(await problem(failing)).toMatchObject({
    ...{ code: "expectation-failed", field: "operations[1]" },
    message: "operations[1] touched 0 rows, expected 1",
  });
  await fine;
  expect(world.books).toEqual([
    [99n, 100n],
    [101n, 100n],
  ]);
});

test("each key is answered with what its own transaction did, and is not run again", async () => {
  const { world, leader, letGo } = await busyLane();
  const first = [1, 2].map((amount) => submit(leader, { ...move(amount), key: `k${amount}` }));
  await letGo();
  const [one, two] = await Promise.all(first);
  expect(membersOn(world, S1)).toEqual([1, 1, 2]);
  const again = await Promise.all(
    [1, 2].map((amount) => submit(leader, { ...move(amount), key: `k${amount}` })),
  );
  expect(again).toEqual([one, two].map((answer) => ({ ...answer, replayed: true })));
  expect(world.books).toEqual([
    [97n, 100n],
    [103n, 100n],
  ]);
});

test("a key that a shard knows from another body keeps its own member out, and no other", async () => {
  const { world, leader, letGo } = await busyLane();
  await submit(leader, { operations: [add(S2, 10)], key: "used" });
  const fine = submit(leader, { ...move(1), key: "fresh" });
  const reused = submit(leader, { ...move(2), key: "used" });
  const behind = submit(leader, { ...move(4), key: "behind" });
  await letGo();
  expect(await problem(reused)).toMatchObject({ code: "idempotency-key-reused" });
  await Promise.all([fine, behind]);
  expect(world.books).toEqual([
    [95n, 100n],
    [115n, 100n],
  ]);
});

test("whoever must wait for a row for longer than the lane does leaves it, and waits alone", async () => {
  const { world, leader, letGo } = await busyLane();
  const holder = await leader.begin();
  const held = { kind: "operation", shard: S2, operation: { ...add(S2, 1), index: 0 } } as const;
  await holder.step(1, held);
  const waits = submit(leader, move(1));
  const passes = submit(leader, { operations: [add(S1, 1, "b"), add(S2, 1, "b")] });
  await letGo();
  await world.clock.advance(LANE_LIMITS.lockTimeoutMs);
  expect(await problem(passes)).toHaveProperty("answered");
  await holder.commit();
  await waits;
  expect(world.books).toEqual([
    [99n, 101n],
    [102n, 101n],
  ]);
});

test.each<[string, Asked]>([
  ["says so", { ...move(1), lane: false }],
  ["wants another isolation", { ...move(1), isolation: "repeatable read" }],
  ["has little time", { ...move(1), timeoutMs: LANE_LIMITS.minTimeoutMs - 1 }],
])("a transaction that %s does not wait for the lane", async (_, asked) => {
  const { world, leader, letGo } = await busyLane();
  const own = problem(submit(leader, asked));
  await settled();
  expect(membersOn(world, S1)).toEqual([1, 1, 1]);
  await letGo();
  await own;
});

test("whoever has waited too long for its turn takes the ordinary path", async () => {
  const { world, leader, letGo } = await busyLane();
  const waiting = submit(leader, move(7));
  await world.clock.advance(LANE_LIMITS.maxWaitMs);
  expect(isAsked(world, -7)).toBe(false);
  await world.clock.advance(LANE_LIMITS.maxWaitMs);
  expect(isAsked(world, -7)).toBe(true);
  await letGo();
  await waiting;
});

test("a carrier that does not get through in time gives way, and its members go on alone", async () => {
  const world = new InteractiveWorld();
  const leader = world.lead();
  const release = world.hooksOf(S1).hold("before execute");
  const one = submit(leader, { operations: [add(S1, 0, "b"), add(S2, 0, "b")] });
  await settled();
  const stuck = submit(leader, move(1));
  await world.clock.advance(LANE_LIMITS.voteBudgetMs);
  expect(membersOn(world, S2)).toEqual([1, 1, 1]);
  release();
  await Promise.all([one, stuck]);
  expect(world.books).toEqual([
    [99n, 100n],
    [101n, 100n],
  ]);
});

test("those that wait when the leader is replaced have not begun", async () => {
  const { world, leader, letGo } = await busyLane();
  const refusal = expect(submit(leader, move(7))).rejects.toThrow(NotLeader);
  await settled();
  leader.depose();
  await world.clock.advance(2 * LANE_LIMITS.maxWaitMs);
  await refusal;
  await letGo();
  expect(isAsked(world, -7)).toBe(false);
});

test("transactions of different clients share no Postgres transaction", async () => {
  const { world, leader, letGo } = await busyLane();
  const waiting = ["one", "other", "one"].map((client) => submit(leader, { ...move(1), client }));
  await letGo();
  await Promise.all(waiting);
  expect(membersOn(world, S1)).toEqual([1, 1, 2, 1]);
});

test("when no decision comes in time, each member is told that its outcome is unknown, and it may come later", async () => {
  const { world, leader, letGo } = await busyLane();
  const told = Promise.all([1, 2].map((amount) => problem(submit(leader, move(amount)))));
  leader.holdsProposals = true;
  const gone = letGo();
  await world.clock.advance(LIMITS.defaultTimeoutMs);
  const unknown = { code: "outcome-unknown", outcome: "unknown" };
  expect(await told).toMatchObject([unknown, unknown]);
  expect(world.books[0]?.[0]).toBe(100n);
  leader.apply();
  await gone;
  await settled();
  expect(world.books).toEqual([
    [97n, 100n],
    [103n, 100n],
  ]);
});
