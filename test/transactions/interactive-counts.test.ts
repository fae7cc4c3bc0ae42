/** Interactive transactions are counted once each, when their clients are answered. */
import { settled } from "../participant/test-clock.ts";
import {
  add,
  InteractiveWorld,
  type Leader,
  problem,
  read,
  S1,
  S2,
  transfer,
} from "./support/interactive-world.ts";

/** What is not nought. */
function counted({ counts }: Leader): object {
  const ended = counts
    .ended()
    .filter(({ kind, count }) => kind === "interactive" && count > 0)
    .map(({ path, outcome, count }) => [`${path} ${outcome}`, count] as const);
  return { ...Object.fromEntries(ended), ...Object.fromEntries(counts.aborts) };
}

test("what commits is counted when it is answered, once, however often it is asked for", async () => {
  const leader = new InteractiveWorld().lead();
  const client = await leader.begin();
  await transfer(client);
  expect(counted(leader)).toEqual({});
  for (let times = 1; times <= 2; times += 1) {
    await client.commit();
    expect(counted(leader)).toEqual({ "two_phase committed": 1 });
  }
});

test("what only read, or did nothing at all, has committed as well", async () => {
  const leader = new InteractiveWorld().lead();
  const [reader, idler] = [await leader.begin(), await leader.begin()];
  await reader.step(1, read(S1));
  await reader.commit();
  await idler.commit();
  expect(counted(leader)).toEqual({ "two_phase committed": 2 });
});

test("a rollback counts as one, whatever is asked for afterwards", async () => {
  const leader = new InteractiveWorld().lead();
  const client = await leader.begin();
  await transfer(client);
  await client.rollBack();
  await client.rollBack();
  await problem(client.commit());
  expect(counted(leader)).toEqual({ "two_phase aborted": 1, "rolled-back": 1 });
});

test("what a shard, the time or a vote ends is counted by its error code", async () => {
  const world = new InteractiveWorld();
  const leader = world.lead();
  const failing = await leader.begin();
  await problem(failing.step(1, add(S1, -500)));
  const forgotten = await leader.begin({ idleTimeoutMs: 100 });
  await forgotten.step(1, add(S1, 1));
  await world.clock.advance(100);
  const refused = await leader.begin();
  await transfer(refused);
  world.hooksOf(S2).verdicts.set("before prepare", "rollback");
  const { code } = (await problem(refused.commit())) as { readonly code: string };
  expect(counted(leader)).toEqual({
    "two_phase aborted": 3,
    "constraint-violation": 1,
    "transaction-expired": 1,
    [code]: 1,
  });
});

test("a commit whose decision takes too long is counted as what its client was told", async () => {
  const world = new InteractiveWorld();
  const leader = world.lead();
  leader.holdsProposals = true;
  const client = await leader.begin();
  await transfer(client);
  const told = problem(client.commit({ timeoutMs: 1_000 }));
  await world.clock.advance(1_000);
  expect(await told).toMatchObject({ code: "outcome-unknown" });
  leader.apply();
  await settled();
  await client.commit();
  expect(counted(leader)).toEqual({ "two_phase unknown": 1 });
});
