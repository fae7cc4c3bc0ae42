/**
 * The rules of snapshots, probes and catch-up removed one by one, from the outside: the explorer must come back with a shortest
 * history in which the removal does harm. It prints it.
 */
import { ballot, roundOf, slot as slotOf, ZERO_BALLOT, ZERO_SLOT } from "../../shared/model/ids.ts";
import type {
  PaxosInput,
  PaxosOutput,
  PaxosState,
  Stepped,
} from "../../coordinator/paxos/state.ts";
import { step } from "../../coordinator/paxos/step.ts";
import { explore } from "./explorer.ts";
import { report } from "./explorer/report.ts";
import type { Directive, Scope, StepFunction, Violation } from "./explorer/scope.ts";

/** Node 1 leads, and a first slot is chosen of which node 3 knows nothing. */
const ONE_BEHIND: readonly Directive[] = [
  { kind: "campaign", node: 1, round: 1 },
  { kind: "settle" },
  { kind: "propose", node: 1 },
  { kind: "settle", without: 3 },
];

const SNAPSHOT: Scope = { nodes: 3, slots: 1, ballots: 2, snapshots: 1, ignoreHalts: true };

function shortestHarm(title: string, scope: Scope): Violation {
  const { violation } = report(`MUTATION ${title}`, explore(scope));
  if (violation === undefined) throw new Error(`nobody noticed: ${title}`);
  return violation;
}

/** A truncated acceptor reports nothing of what it has truncated, and that is taken for nothing accepted. */
function ignoreTruncation(state: PaxosState, input: PaxosInput): Stepped {
  if (input.kind !== "message" || input.message.kind !== "phase1b") return step(state, input);
  return step(state, { ...input, message: { ...input.message, truncatedUpTo: ZERO_SLOT } });
}

const NOTHING: PaxosOutput = {
  records: [],
  release: [],
  send: [],
  apply: [],
  fetch: undefined,
  restore: undefined,
};

/** An acceptor that accepts below its truncation, as if it had never held anything there. */
function acceptingAgain(inner: StepFunction): StepFunction {
  return (state, input) => {
    const isBelow =
      input.kind === "message" &&
      input.message.kind === "phase2a" &&
      input.message.slot <= state.log.truncatedUpTo &&
      input.message.ballot >= state.promised;
    if (!isBelow) return inner(state, input);
    const { ballot: under, slot, value } = input.message;
    const accepted = { kind: "accepted", ballot: under, slot, value } as const;
    const vote = { kind: "phase2b", ballot: under, slot } as const;
    return {
      state: { ...state, promised: under, highestSeen: under, role: { kind: "follower" } },
      output: { ...NOTHING, records: [accepted], release: [{ to: input.from, message: vote }] },
    };
  };
}

test("a truncation that an acceptor reports is ignored: a chosen slot is overwritten", () => {
  const { what, schedule } = shortestHarm("truncations are ignored", {
    ...SNAPSHOT,
    snapshots: 2,
    onlyAgreement: true,
    prologue: ONE_BEHIND,
    step: acceptingAgain(ignoreTruncation),
  });
  expect(what).toBe("C1: two values are chosen in slot 1");
  expect(schedule.join("\n")).toMatch(/durable snapshot of everything up to slot 1/);
});

test("a truncation that an acceptor reports is ignored: already the proposal is a breach", () => {
  const { what } = shortestHarm("truncations are ignored, acceptors still refuse", {
    ...SNAPSHOT,
    step: ignoreTruncation,
  });
  expect(what).toBe("C2: another value than the chosen one is proposed in slot 1");
});

test("a snapshot record forgets the promise: a restart may come back with less", () => {
  const { what } = shortestHarm("snapshot records repeat no promise", {
    ...SNAPSHOT,
    slots: 2,
    crashes: 1,
    prologue: ONE_BEHIND,
    step: (state, input) => {
      const { state: after, output } = step(state, input);
      const records = output.records.map((record) =>
        record.kind === "snapshot" ? { ...record, promised: ZERO_BALLOT } : record,
      );
      return { state: after, output: { ...output, records } };
    },
  });
  expect(what).toMatch(/^node . breaks S3: a restart needs what may go from below the snapshot$/);
});

test("a peer's snapshot is installed over newer state: the node goes back", () => {
  const installAlways = (state: PaxosState, input: PaxosInput): Stepped => {
    if (input.kind !== "snapshotSaved" || input.origin !== "peer") return step(state, input);
    const before = slotOf(Math.min(state.chosenUpTo, input.slot - 1));
    return step({ ...state, chosenUpTo: before }, input);
  };
  const { what } = shortestHarm("an old snapshot moves the state back", {
    ...SNAPSHOT,
    slots: 2,
    ballots: 1,
    snapshots: 2,
    ignoreHalts: false,
    keepsDead: true,
    prologue: ONE_BEHIND,
    step: installAlways,
  });
  expect(what).toMatch(/A6: what is gone from the log is in a snapshot/);
});

test("a log is truncated up to what is not chosen yet: its own assertion stops it", () => {
  const saveAhead = (state: PaxosState, input: PaxosInput): Stepped =>
    input.kind === "snapshotSaved" && input.origin === "own"
      ? step(state, { ...input, slot: slotOf(input.slot + 1) })
      : step(state, input);
  const { what } = shortestHarm("a snapshot claims more than was applied", {
    ...SNAPSHOT,
    ignoreHalts: false,
    step: saveAhead,
  });
  expect(what).toMatch(/^node . halts: (A6|C3): /);
});

test("a snapshot offer is not answered by a fetch: a node never gets what it knows to be chosen", () => {
  const { what } = shortestHarm("offers are ignored", {
    ...SNAPSHOT,
    // Else the second node that knows the slot has it in its log.
    snapshots: 2,
    catchUp: "messages",
    convergesFromEvery: 1,
    step: (state, input) => {
      const isOffer = input.kind === "message" && input.message.kind === "snapshotOffer";
      return isOffer ? { state, output: NOTHING } : step(state, input);
    },
  });
  expect(what).toMatch(/^node . never gets what it knows to be chosen$/);
});

test("a probe raises the ballot of those it asks: it is noticed at once", () => {
  const { what } = shortestHarm("probes raise ballots", {
    nodes: 3,
    slots: 1,
    ballots: 2,
    timeouts: 2,
    catchUp: "never",
    step: (state, input) => {
      const stepped = step(state, input);
      if (input.kind !== "message" || input.message.kind !== "probe") return stepped;
      const highestSeen = ballot(roundOf(state.highestSeen) + 1, input.from);
      return { ...stepped, state: { ...stepped.state, highestSeen } };
    },
  });
  expect(what).toMatch(/^node . is moved by a probe$/);
});

test("a campaign's promise is not durable: after a crash a ballot is campaigned for twice", () => {
  const { what, schedule } = shortestHarm("own promises are forgotten on restart", {
    nodes: 3,
    slots: 1,
    ballots: 2,
    timeouts: 2,
    crashes: 1,
    catchUp: "never",
    ignoreHalts: true,
    onlyAgreement: true,
    onRestart: (records) => records.filter(({ kind }) => kind !== "promised"),
  });
  expect(what).toBe("E1: a ballot is campaigned for twice");
  expect(schedule.join("\n")).toMatch(/crashes and restarts from its log/);
});
