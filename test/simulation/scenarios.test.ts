/** Schedules that random seeds found and that broke a promise once, each reduced to what it takes. */
import type { CoordinatorHost } from "./world/coordinator-host.ts";
import { codeOf, committedIdOf, Scenario } from "./scenario.ts";

function living(host: CoordinatorHost) {
  const served = host.served();
  if (served === undefined) throw new Error(`${host.machine} is down`);
  return served.node;
}

/** What this node says to the other coordinators is held up for so long. */
function clogWayOut({ world }: Scenario, leader: CoordinatorHost, forMs: number): void {
  for (const { machine } of world.coordinators) {
    if (machine !== leader.machine) world.network.clog(leader.machine, machine, forMs);
  }
}

test("a second attempt beside one that is being decided waits for it and gets its answer", async () => {
  const scenario = new Scenario({ electionTimeoutMs: 2_000 });
  const leader = await scenario.leader();
  const call = scenario.call("rent", ["s1", "s2"], 100);
  clogWayOut(scenario, leader, 500);
  const first = scenario.submit(living(leader), call);
  await scenario.until("the first is answered", () => first.ending);
  expect(codeOf(first)).toBe("outcome-unknown");

  const second = scenario.submit(living(leader), call);
  await scenario.until("the second is answered", () => second.ending);
  expect(codeOf(second)).toBe("outcome-unknown");
  await scenario.pass(600);
  const third = scenario.submit(living(leader), call);
  await scenario.until("the third is answered", () => third.ending);
  expect(committedIdOf(third)).toBeDefined();
  call.verdict = "committed";
  await scenario.close();
});

test("a second attempt that can wait for the decision gets the answer of the first", async () => {
  const scenario = new Scenario({ electionTimeoutMs: 2_000 });
  const leader = await scenario.leader();
  const call = scenario.call("rent", ["s1", "s2"], 300);
  clogWayOut(scenario, leader, 400);
  const first = scenario.submit(living(leader), call);
  await scenario.pass(200);
  const second = scenario.submit(living(leader), call);
  await scenario.until("both are answered", () => first.ending && second.ending);
  expect(codeOf(first)).toBe("outcome-unknown");
  expect(committedIdOf(second)).toBeDefined();
  call.verdict = "committed";
  await scenario.close();
});

test("a leader that was replaced without knowing it calls nothing aborted under a key", async () => {
  const scenario = new Scenario({ electionTimeoutMs: 150 });
  const { world } = scenario;
  const old = await scenario.leader();
  const process = living(old).process;
  process.paused = true;
  const leader = await scenario.leader(old);
  const call = scenario.call("rent", ["s1", "s2"], 5_000);
  world.network.clog(leader.machine, "s1", 1_000);
  const first = scenario.submit(living(leader), call);
  await scenario.pass(100);
  process.paused = false;
  const second = scenario.submit(living(old), call);
  world.scheduler.resumed(process);

  await scenario.until("the second is answered", () => second.ending);
  expect(first.ending).toBeUndefined();
  expect(codeOf(second)).toBe("outcome-unknown");
  await scenario.until("the first is answered", () => first.ending);
  expect(committedIdOf(first)).toBeDefined();
  call.verdict = "committed";
  await scenario.close();
});

test("a request that arrives again does not deny what the first one did", async () => {
  const scenario = new Scenario({ electionTimeoutMs: 150 });
  const { world } = scenario;
  const leader = await scenario.leader();
  const call = scenario.call("rent", ["s1"], 5_000);
  const [participant] = world.participants;
  const heard = participant!.record();
  const only = scenario.submit(living(leader), call);
  await scenario.until("it is answered", () => only.ending);
  expect(committedIdOf(only)).toBeDefined();
  const [request] = heard.filter(({ kind }) => kind === "executeOnePhase");
  const reply = await participant!.door!.receive("another link", request!);
  expect(reply).toMatchObject({ kind: "unknown" });
  call.verdict = "committed";
  await scenario.close();
});
