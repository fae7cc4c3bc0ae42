/** The rules of snapshots, probes and catch-up, each removed in a small scope in which that shows. */
import { ballot, roundOf, slot as slotOf, ZERO_BALLOT, ZERO_SLOT } from "../../shared/model/ids.ts";
import type {
  PaxosInput,
  PaxosOutput,
  PaxosState,
  Stepped,
} from "../../coordinator/paxos/state.ts";
import { step } from "../../coordinator/paxos/step.ts";
import type { Directive, Scope, StepFunction } from "../paxos/explorer/scope.ts";
import { inModel, type RemovedRule } from "./rule.ts";

/** Node 1 leads, and a first slot is chosen of which node 3 knows nothing. */
const ONE_BEHIND: readonly Directive[] = [
  { kind: "campaign", node: 1, round: 1 },
  { kind: "settle" },
  { kind: "propose", node: 1 },
  { kind: "settle", without: 3 },
];

const SNAPSHOT: Scope = { nodes: 3, slots: 1, ballots: 2, snapshots: 1, ignoreHalts: true };

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

function installAlways(state: PaxosState, input: PaxosInput): Stepped {
  if (input.kind !== "snapshotSaved" || input.origin !== "peer") return step(state, input);
  const before = slotOf(Math.min(state.chosenUpTo, input.slot - 1));
  return step({ ...state, chosenUpTo: before }, input);
}

function saveAhead(state: PaxosState, input: PaxosInput): Stepped {
  return input.kind === "snapshotSaved" && input.origin === "own"
    ? step(state, { ...input, slot: slotOf(input.slot + 1) })
    : step(state, input);
}

function forgetPromiseInSnapshots(state: PaxosState, input: PaxosInput): Stepped {
  const { state: after, output } = step(state, input);
  const records = output.records.map((record) =>
    record.kind === "snapshot" ? { ...record, promised: ZERO_BALLOT } : record,
  );
  return { state: after, output: { ...output, records } };
}

function ignoreOffers(state: PaxosState, input: PaxosInput): Stepped {
  const isOffer = input.kind === "message" && input.message.kind === "snapshotOffer";
  return isOffer ? { state, output: NOTHING } : step(state, input);
}

function raiseBallots(state: PaxosState, input: PaxosInput): Stepped {
  const stepped = step(state, input);
  if (input.kind !== "message" || input.message.kind !== "probe") return stepped;
  const highestSeen = ballot(roundOf(state.highestSeen) + 1, input.from);
  return { ...stepped, state: { ...stepped.state, highestSeen } };
}

const PROBES: Scope = { nodes: 3, slots: 1, ballots: 2, timeouts: 2, catchUp: "never" };

export const SNAPSHOTS: readonly RemovedRule[] = [
  inModel(
    "a truncation that an acceptor reports is ignored, and it accepts there again",
    /^C1: two values are chosen in slot 1$/,
    {
      ...SNAPSHOT,
      snapshots: 2,
      onlyAgreement: true,
      prologue: ONE_BEHIND,
      step: acceptingAgain(ignoreTruncation),
    },
  ),
  inModel(
    "a truncation that an acceptor reports is ignored",
    /^C2: another value than the chosen one is proposed in slot 1$/,
    { ...SNAPSHOT, step: ignoreTruncation },
  ),
  inModel(
    "a snapshot record forgets the promise",
    /^node . breaks S3: a restart needs what may go from below the snapshot$/,
    { ...SNAPSHOT, slots: 2, crashes: 1, prologue: ONE_BEHIND, step: forgetPromiseInSnapshots },
  ),
  inModel(
    "a peer's snapshot is installed over newer state",
    /A6: what is gone from the log is in a snapshot/,
    {
      ...SNAPSHOT,
      slots: 2,
      ballots: 1,
      snapshots: 2,
      ignoreHalts: false,
      keepsDead: true,
      prologue: ONE_BEHIND,
      step: installAlways,
    },
  ),
  inModel("a snapshot claims more than was applied", /^node . halts: (A6|C3): /, {
    ...SNAPSHOT,
    ignoreHalts: false,
    step: saveAhead,
  }),
  inModel(
    "a snapshot offer is not answered by a fetch",
    /^node . never gets what it knows to be chosen$/,
    {
      ...SNAPSHOT,
      // Else the second node that knows the slot has it in its log.
      snapshots: 2,
      catchUp: "messages",
      convergesFromEvery: 1,
      step: ignoreOffers,
    },
  ),
  inModel("a probe raises the ballot of those it asks", /^node . is moved by a probe$/, {
    ...PROBES,
    step: raiseBallots,
  }),
  inModel("a campaign's promise is not durable", /^E1: a ballot is campaigned for twice$/, {
    ...PROBES,
    crashes: 1,
    ignoreHalts: true,
    onlyAgreement: true,
    onRestart: (records) => records.filter(({ kind }) => kind !== "promised"),
  }),
];
