/** Rows of ../CATALOGUE.md about whole transactions, in a simulated cluster whose books are closed at the end. */
import type { SubmissionAnswer } from "../../../coordinator/transactions/gateway.ts";
import { codeOf, committedIdOf, Scenario, type Submitted } from "../../simulation/scenario.ts";
import type { CoordinatorHost } from "../../simulation/world/coordinator-host.ts";

function living(host: CoordinatorHost) {
  const served = host.served();
  if (served === undefined) throw new Error(`${host.machine} is down`);
  return served.node;
}

function answerOf({ ending }: Submitted): SubmissionAnswer | undefined {
  return ending !== undefined && !(ending instanceof Error) && ending.kind === "committed"
    ? ending.answer
    : undefined;
}

test("#35 a retry after a failover gets the first answer, and nothing is done twice (curvine#676, etcd#18424)", async () => {
  const scenario = new Scenario({ electionTimeoutMs: 150 });
  const old = await scenario.leader();
  const call = scenario.call("rent", ["s1", "s2"], 5_000);
  scenario.submit(living(old), call);
  const first = await scenario.until("the commit is applied", () =>
    old.node?.ledger.firstAnswer("rent"),
  );
  old.crash("before it can answer");

  const second = scenario.submit(living(await scenario.leader(old)), call);
  await scenario.until("the retry is answered", () => second.ending);
  expect(answerOf(second)).toMatchObject({
    replayed: true,
    response: { id: first.transactionId, outcome: "committed" },
  });
  call.verdict = "committed";
  await scenario.close();
});

test("#37 a sweep leaves alone what its own leader is still preparing elsewhere (citus#1030, #2095)", async () => {
  const scenario = new Scenario({ electionTimeoutMs: 2_000 });
  const { network, participants } = scenario.world;
  const leader = await scenario.leader();
  await scenario.pass(500);
  const [s1] = participants;
  const heard = s1!.record();
  network.clog(leader.machine, "s2", 1_500);
  const call = scenario.call("rent", ["s1", "s2"], 5_000);
  const only = scenario.submit(living(leader), call);
  await scenario.until("s1 is prepared", () => s1!.database.prepared.size > 0);
  await scenario.pass(50);
  leader.cutLink(s1!.shard);
  await scenario.until("s1 is swept", () => heard.some(({ kind }) => kind === "list"));

  await scenario.until("it is answered", () => only.ending);
  expect(codeOf(only)).toBeUndefined();
  expect(committedIdOf(only)).toBeDefined();
  call.verdict = "committed";
  await scenario.close();
});

test("#42 the power goes everywhere at once, with slow disks: what was answered is still so (etcd#14143, #14140)", async () => {
  const scenario = new Scenario({ electionTimeoutMs: 400, meanAppendMs: 40 });
  const { coordinators, participants } = scenario.world;
  const calls = Array.from({ length: 5 }, (_, index) =>
    scenario.call(`rent ${index + 1}`, ["s1", "s2"], 5_000),
  );
  for (const call of calls) {
    const leader = await scenario.leader();
    const first = scenario.submit(living(leader), call);
    const id = await scenario.until("it is answered", () => committedIdOf(first));
    for (const host of coordinators) host.crash("the power is gone");
    for (const host of participants) {
      host.crash("the power is gone");
      host.crashDatabase();
    }

    const again = scenario.submit(living(await scenario.leader()), call);
    await scenario.until("it is answered again", () => again.ending);
    expect(committedIdOf(again)).toBe(id);
    call.verdict = "committed";
  }
  await scenario.close();
});
