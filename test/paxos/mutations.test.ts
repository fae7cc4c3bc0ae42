/**
 * A check that cannot fail proves nothing: each rule is removed here, from the outside, and the explorer must come back
 * with a shortest history in which the removal does harm. It prints it.
 */
import type { DurableRecord } from "../../coordinator/paxos/record.ts";
import { step } from "../../coordinator/paxos/step.ts";
import type { PaxosInput, PaxosState } from "../../coordinator/paxos/state.ts";
import { slot as slotOf } from "../../shared/model/ids.ts";
import { explore } from "./explorer.ts";
import { report } from "./explorer/report.ts";
import type { Scope, StepFunction, Violation } from "./explorer/scope.ts";

/** The smallest scope in which all of them show; assertions in the core must not stop the search short of the harm. */
const SCOPE: Scope = {
  nodes: 3,
  slots: 1,
  ballots: 2,
  ignoreHalts: true,
  onlyAgreement: true,
  keepsDead: true,
};

function shortestHarm(title: string, scope: Scope): Violation {
  const { violation } = report(`MUTATION ${title}`, explore(scope));
  if (violation === undefined) throw new Error(`nobody noticed: ${title}`);
  return violation;
}

test("promises forgotten on restart: two values are chosen in one slot", () => {
  const forgetPromises = (records: readonly DurableRecord[]): readonly DurableRecord[] =>
    records.filter((record) => record.kind !== "promised");
  const { what, schedule } = shortestHarm("promises are forgotten on restart", {
    ...SCOPE,
    keepsDead: false,
    crashes: 1,
    onRestart: forgetPromises,
  });
  expect(what).toBe("C1: two values are chosen in slot 1");
  expect(schedule.join("\n")).toMatch(/crashes and restarts from its log/);
});

test("accepted values forgotten on restart: two values are chosen in one slot", () => {
  const forgetAccepts = (records: readonly DurableRecord[]): readonly DurableRecord[] =>
    records.map((record) =>
      record.kind === "accepted" ? { kind: "promised", ballot: record.ballot } : record,
    );
  const { what } = shortestHarm("accepted values are forgotten on restart", {
    ...SCOPE,
    keepsDead: false,
    crashes: 1,
    onRestart: forgetAccepts,
  });
  expect(what).toBe("C1: two values are chosen in slot 1");
});

test("what promises report is ignored: two values are chosen in one slot", () => {
  const ignoreReports: StepFunction = (state, input) => {
    if (input.kind !== "message" || input.message.kind !== "phase1b") return step(state, input);
    return step(state, { ...input, message: { ...input.message, slots: [] } });
  };
  const { what } = shortestHarm("reports are ignored", { ...SCOPE, step: ignoreReports });
  expect(what).toBe("C1: two values are chosen in slot 1");
});

test("proposals below the promise are accepted: two values are chosen in one slot", () => {
  const forgetsToRefuse = (state: PaxosState, input: PaxosInput): boolean =>
    input.kind === "message" &&
    input.message.kind === "phase2a" &&
    input.message.ballot < state.promised &&
    state.role.kind === "follower";
  const acceptAll: StepFunction = (state, input) => {
    if (input.kind !== "message" || input.message.kind !== "phase2a") return step(state, input);
    const { ballot: promised } = input.message;
    return step(forgetsToRefuse(state, input) ? { ...state, promised } : state, input);
  };
  const { what } = shortestHarm("no proposal is refused", { ...SCOPE, step: acceptAll });
  expect(what).toBe("C1: two values are chosen in slot 1");
});

test("one vote short of a quorum counts: two values are chosen in one slot", () => {
  const countEarly: StepFunction = (state, input) =>
    step({ ...state, config: { ...state.config, phase2Quorum: 1 } }, input);
  const { what } = shortestHarm("one vote is enough", {
    ...SCOPE,
    keepsDead: false,
    onlyAgreement: false,
    step: countEarly,
  });
  expect(what).toMatch(/^C3: node . takes for chosen in slot 1 what no quorum accepted$/);
});

test("a follower takes its leader's word for a value of another ballot: it applies what was never chosen", () => {
  const trustAnyBallot: StepFunction = (state, input) => {
    if (input.kind !== "message" || input.message.kind !== "heartbeat") return step(state, input);
    const { ballot, chosenUpTo } = input.message;
    let { log } = state;
    for (const [slot, entry] of log.from(slotOf(1))) {
      const isTaken = entry.kind === "accepted" && slot <= chosenUpTo && ballot >= state.promised;
      if (isTaken) log = log.set(slot, { ...entry, ballot });
    }
    return step({ ...state, log }, input);
  };
  const { what } = shortestHarm("the ballot rule for chosen slots is dropped", {
    ...SCOPE,
    keepsDead: false,
    onlyAgreement: false,
    step: trustAnyBallot,
  });
  expect(what).toMatch(/^C3: node . takes for chosen in slot 1 what no quorum accepted$/);
});

test("a leader that learns of its replacement goes on: its own assertion stops it", () => {
  const stayLeader: StepFunction = (state, input) => {
    const after = step(state, input);
    const isLearnt = input.kind === "message" && input.message.kind === "learnReply";
    if (!isLearnt || state.role.kind !== "leader") return after;
    return { ...after, state: { ...after.state, role: state.role } };
  };
  const { what } = shortestHarm("a replaced leader goes on", {
    ...SCOPE,
    keepsDead: false,
    ignoreHalts: false,
    step: stayLeader,
  });
  expect(what).toMatch(/P4: nothing is proposed in a chosen slot/);
});
