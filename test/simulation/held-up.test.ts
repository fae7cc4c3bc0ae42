/**
 * Requests that wait on the network while their clients, who have given up on them, are told "aborted" under the same key: what
 * becomes of them when they arrive.
 */
import type { Ballot } from "../../shared/model/ids.ts";
import type { Call } from "./clients/history.ts";
import { SimulatedApi } from "./clients/simulated-api.ts";
import type { Mutation } from "./mutation.ts";
import { codeOf, committedIdOf, Scenario } from "./scenario.ts";
import { MemoryTransaction } from "../../participant/shard/memory-database.ts";
import { markOf } from "./clients/statements.ts";
import type { CoordinatorHost } from "./world/coordinator-host.ts";

const SHARDS = ["s1", "s2"];
/** Until it leaves the follower's way to the leader. */
const HELD_UP_MS = 4_000;

interface HeldUp {
  readonly scenario: Scenario;
  readonly leader: CoordinatorHost;
  readonly ballot: Ballot;
  readonly call: Call;
  /** What a client did with the leader's answer to its second attempt. */
  readonly arrivesAtMs: number;
}

function living(host: CoordinatorHost) {
  if (host.life === undefined) throw new Error(`${host.machine} is down`);
  return host.life;
}

/**
 * A client asks a follower, whose way to the leader is clogged; the follower dies; and the client, who asks the leader
 * itself, is told "aborted", for somebody holds the row meanwhile.
 */
async function heldUp(shards: readonly string[], mutation: Mutation): Promise<HeldUp> {
  const scenario = new Scenario({ electionTimeoutMs: 150, mutation });
  const { world } = scenario;
  const leader = await scenario.leader();
  const ballot = living(leader).node.gateway.view().ballot;
  const call = scenario.call("rent", shards, 200);
  const { network, scheduler, calls, history, trace, checkers, coordinators } = world;
  const follower = coordinators.find((host) => host !== leader)!;
  network.clog(follower.machine, leader.machine, HELD_UP_MS);
  const api = new SimulatedApi(coordinators, calls, history, trace, checkers);
  void api.post("client", follower, { call, abandoned: false });
  const arrivesAtMs = scheduler.nowMs + HELD_UP_MS;
  await scenario.pass(20);
  follower.crash("with a request on its way");

  const { database } = world.participants[0]!;
  const holder = new MemoryTransaction();
  const giveBack = database.lock(holder, `items/${markOf(call.name)}`, () => undefined);
  const second = scenario.submit(living(leader), call);
  await scenario.until("the second attempt is answered", () => second.ending);
  expect(["lock-timeout", "transaction-timeout"]).toContain(codeOf(second));
  giveBack();
  database.rollback(holder);
  call.verdict = "aborted";
  return { scenario, leader, ballot, call, arrivesAtMs };
}

async function arrived({ scenario, arrivesAtMs }: HeldUp): Promise<void> {
  await scenario.pass(arrivesAtMs - scenario.world.scheduler.nowMs + 1_000);
}

/** The leader loses its place, and has it again under another ballot. */
async function leadsAgain({ scenario, leader, ballot }: HeldUp): Promise<void> {
  leader.crash("to lead again");
  for (let attempts = 0; attempts < 20; attempts += 1) {
    const next = await scenario.leader();
    if (next === leader) break;
    next.crash("for the next leader");
    await scenario.until("it no longer leads", () => next.life === undefined || true);
  }
  expect(living(leader).node.gateway.view()).toMatchObject({ role: "leader", serving: true });
  expect(living(leader).node.gateway.view().ballot).toBeGreaterThan(ballot);
}

test.each([["s1"], SHARDS])(
  "a request of %s %s that was held up runs into the abort that was told meanwhile",
  async (...shards) => {
    const held = await heldUp(shards.filter(Boolean), "none");
    const { tally } = held.scenario.world;
    await arrived(held);
    expect(tally.counts.get("abort replayed")).toBe(1);
    await held.scenario.close();
  },
);

test("without the leader's memory of what it has told, it would commit behind it", async () => {
  const held = await heldUp(SHARDS, "aborts forgotten");
  await arrived(held);
  await expect(held.scenario.close()).rejects.toThrow("honest abort");
});

test("a request that was held up until its leader leads again, under another ballot, is not begun", async () => {
  const held = await heldUp(SHARDS, "none");
  await leadsAgain(held);
  await arrived(held);
  expect(held.scenario.world.tally.counts.get("abort replayed")).toBeUndefined();
  await held.scenario.close();
});

test("if it could be meant for any ballot, it would commit behind the abort that an earlier one told", async () => {
  const held = await heldUp(SHARDS, "meant for anybody");
  await leadsAgain(held);
  await arrived(held);
  await expect(held.scenario.close()).rejects.toThrow("honest abort");
});

/** What README.md says of `aborted` and a client's own request on its way. */
test("what is left: an abort that an earlier leader told is unknown to the next, whom a client's own late request reaches", async () => {
  const held = await heldUp(SHARDS, "none");
  const { scenario, leader, call } = held;
  leader.crash("for another leader");
  const next = await scenario.leader();
  const late = scenario.submit(living(next), call);
  await scenario.until("it is answered", () => late.ending);
  expect(committedIdOf(late)).toBeDefined();
  call.verdict = "committed";
  await arrived(held);
  await scenario.close();
});
