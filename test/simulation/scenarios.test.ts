/** Schedules that random seeds found and that broke a promise once, each reduced to what it takes. */
import { globalId } from "../../shared/model/global-id.ts";
import type { Ballot } from "../../shared/model/ids.ts";
import { carrierId, clusterId, shardId, transactionId } from "../../shared/model/ids.ts";
import type { ExecuteOnePhaseRequest } from "../../shared/model/protocol.ts";
import type { Call } from "./clients/history.ts";
import type { CoordinatorHost } from "./world/coordinator-host.ts";
import type { ParticipantDoor } from "./world/simulated-links.ts";
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
  expect(codeOf(second)).toBe("idempotency-in-progress");
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
  expect(second.ending).toMatchObject({ error: { outcome: "not_started" } });
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

/** A one-shard call that nobody has begun, and what it takes to begin it by hand at its participant. */
async function keyedCall() {
  const scenario = new Scenario({ electionTimeoutMs: 150 });
  const leader = await scenario.leader();
  await scenario.pass(500);
  const call = scenario.call("rent", ["s1"], 5_000);
  const { door, scripted } = scenario.world.participants[0]!;
  return { scenario, call, ballot: leader.node!.gateway.view().ballot, door: door!, scripted };
}

/** An attempt at a call as its leader would send it, at this place in the leader's sequence. */
function attemptAt(
  { submission }: Call,
  ballot: Ballot,
  sequence: number,
  door: ParticipantDoor,
  timeoutMs: number,
): ExecuteOnePhaseRequest {
  const operations = submission.request.operations.map((operation, index) => {
    return { ...operation, index };
  });
  return {
    kind: "executeOnePhase",
    ballot,
    carrierId: carrierId(ballot, sequence),
    bootId: door.hello.bootId,
    isolation: "read committed",
    timeoutMs,
    members: [{ transactionId: transactionId(ballot, sequence, "tailtail"), operations }],
    idempotency: submission.idempotency,
    isKeyExpired: false,
  };
}

/** Somebody else's branch that has written the row of this call's mark, and is in doubt for a while. */
async function lockMark(scenario: Scenario, call: Call, ballot: Ballot): Promise<void> {
  const { database, door } = scenario.world.participants[0]!;
  const attempt = attemptAt(call, ballot, 900_000, door!, 5_000);
  const members = attempt.members.map((member) => ({ ...member, idempotencyKey: null }));
  const execute = { ...attempt, kind: "execute", members } as const;
  const gid = globalId(clusterId("simulated"), execute.carrierId, shardId("s1"));
  void door!.receive("a link", { ...execute, gid });
  await scenario.until("the row is locked", () => database.prepared.size > 0);
}

test("attempts under one key run one after the other, so none says no while another may commit", async () => {
  const { scenario, call, ballot, door } = await keyedCall();
  await lockMark(scenario, call, ballot);

  let replies: readonly unknown[] = [];
  const patient = door.receive("a link", attemptAt(call, ballot, 900_001, door, 5_000));
  const hasty = door.receive("a link", attemptAt(call, ballot, 900_002, door, 20));
  void Promise.all([patient, hasty]).then((both) => {
    replies = both;
  });
  await scenario.pass(100);
  expect(replies).toEqual([]);
  await scenario.until("both are answered", () => replies.length > 0);
  expect(replies).toMatchObject([
    { kind: "committed", replayed: false },
    { kind: "committed", replayed: true },
  ]);
  call.verdict = "committed";
  await scenario.close();
});

test("an attempt that arrives when a later one was refused under its key does not run", async () => {
  const { scenario, call, ballot, door } = await keyedCall();
  await lockMark(scenario, call, ballot);

  const replies: unknown[] = [];
  const tellInTurn = (sequence: number, timeoutMs: number): void => {
    const attempt = attemptAt(call, ballot, sequence, door, timeoutMs);
    void door.receive("a link", attempt).then((reply) => replies.push(reply));
  };
  tellInTurn(900_002, 20);
  await scenario.until("the later one is refused", () => replies.length > 0);
  tellInTurn(900_001, 5_000);
  await scenario.until("the earlier one is answered", () => replies.length > 1);
  expect(replies).toMatchObject([{ kind: "no" }, { kind: "unknown" }]);
  call.verdict = "aborted";
  await scenario.close();
});

test("an attempt under a key runs only when no lost session can still commit under it", async () => {
  const { scenario, call, ballot, door, scripted } = await keyedCall();
  scripted.set("before commit", { delayMs: 1, verdict: "late" });
  scripted.set("late commit", { delayMs: 300, verdict: "ok" });

  const replies: unknown[] = [];
  const lost = attemptAt(call, ballot, 900_001, door, 5_000);
  void door.receive("a link", lost).then((reply) => replies.push(reply));
  await scenario.until("the connection to the database is lost", () => replies.length > 0);
  const hasty = attemptAt(call, ballot, 900_002, door, 20);
  void door.receive("a link", hasty).then((reply) => replies.push(reply));
  await scenario.until("the second attempt is answered", () => replies.length > 1);
  expect(replies).toMatchObject([{ kind: "unknown" }, { kind: "committed", replayed: false }]);
  call.verdict = "committed";
  await scenario.pass(500);
  await scenario.close();
});

test("a deposed leader that catches up by snapshot learns from it what became of its own commit", async () => {
  const scenario = new Scenario({ electionTimeoutMs: 150, snapshotIntervalSlots: 1 });
  const { network, tally, coordinators } = scenario.world;
  const old = await scenario.leader();
  const others = coordinators.filter((host) => host !== old);
  const call = scenario.call("rent", ["s1", "s2"], 300);
  // It is heard by the others, and hears nobody: they will find its commit, and it will not know.
  for (const { machine } of others) network.block(machine, old.machine);
  const first = scenario.submit(living(old), call);
  await scenario.until("the first is answered", () => first.ending);
  expect(codeOf(first)).toBe("outcome-unknown");
  const leader = await scenario.leader(old);
  await scenario.until("its snapshot covers the commit", () => {
    const { snapshotSlot = 0 } = leader.node?.replica.state ?? {};
    return snapshotSlot > (old.node?.replica.chosenUpTo ?? 0) + 1;
  });

  for (const { machine } of others) network.unblock(machine, old.machine);
  await scenario.until("it has caught up", () => tally.counts.get("caught up by snapshot"));
  expect(old.node?.gateway.view().inFlight).toBe(0);
  // The next barrier calls void whatever of a lower ballot is still waited for.
  leader.crash("for the next barrier");
  call.verdict = "committed";
  await scenario.close();
});

test("a leader that shuts down does not call delivered what it no longer delivers", async () => {
  const scenario = new Scenario({ electionTimeoutMs: 150 });
  const { world } = scenario;
  const leader = await scenario.leader();
  const call = scenario.call("rent", ["s1", "s2"], 1_000);
  const first = scenario.submit(living(leader), call);
  await scenario.until("it is decided", () => world.checkers.reference.transactions.size > 0);
  world.network.block(leader.machine, "s1");
  await scenario.until("the first is answered", () => first.ending);
  expect(first.ending).toMatchObject({ answer: { response: { pendingShards: ["s1"] } } });

  const { node } = living(leader);
  const stopped = node.stop();
  const second = scenario.submit(living(leader), call);
  await scenario.until("the second is answered", () => second.ending);
  expect(second.ending).toMatchObject({ name: "NotLeader" });
  await stopped;
  leader.crash("shut down");
  world.network.unblock(leader.machine, "s1");
  call.verdict = "committed";
  await scenario.close();
});
