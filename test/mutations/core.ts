/** Rules of the core, each removed in the smallest scope in which that shows. */
import { NO_OP, type Envelope, type PaxosMessage } from "../../coordinator/paxos/message.ts";
import type { PaxosOutput, PaxosState } from "../../coordinator/paxos/state.ts";
import { step } from "../../coordinator/paxos/step.ts";
import { nodeId, slot as slotOf, type NodeId } from "../../shared/model/ids.ts";
import type { Directive, Scope, StepFunction } from "../paxos/explorer/scope.ts";
import { inModel, type RemovedRule } from "./rule.ts";

const SMALLEST: Scope = { nodes: 3, slots: 1, ballots: 2 };
/** What leads to the harm may be noticed first. */
const BREACH: Scope = { ...SMALLEST, ignoreHalts: true };
/** Only the harm counts: assertions in the core do not stop the search short of it. */
const HARM: Scope = { ...BREACH, onlyAgreement: true, keepsDead: true };

const TWO_CHOSEN = /^C1: two values are chosen in slot 1$/;
const UNFOUNDED = /^C3: node . takes for chosen in slot \d what no quorum accepted$/;

/** Neither slot is chosen yet. */
const TWO_PROPOSED: readonly Directive[] = [
  { kind: "campaign", node: 1, round: 1 },
  { kind: "settle" },
  { kind: "propose", node: 1 },
  { kind: "propose", node: 1 },
];
/** As the explorer's client would say it for another slot. */
const UNWANTED = new TextEncoder().encode("value of 1.1 for slot 2");

type Of<Kind extends PaxosMessage["kind"]> = Extract<PaxosMessage, { kind: Kind }>;
interface Heard<Kind extends PaxosMessage["kind"]> {
  readonly state: PaxosState;
  readonly from: NodeId;
  readonly message: Of<Kind>;
}

/** A node is given something else than a message of this kind that it hears, or hears it as somebody else than it is. */
function hearing<Kind extends PaxosMessage["kind"]>(
  kind: Kind,
  change: (heard: Heard<Kind>) => Partial<Heard<Kind>>,
): StepFunction {
  return (state, input) => {
    if (input.kind !== "message" || input.message.kind !== kind) return step(state, input);
    const heard = { state, from: input.from, message: input.message as Of<Kind> };
    const { state: as, from, message } = { ...heard, ...change(heard) };
    return step(as, { kind: "message", from, message });
  };
}

/** What a step wants done is changed. */
function wanting(change: (output: PaxosOutput) => Partial<PaxosOutput>): StepFunction {
  return (state, input) => {
    const { state: after, output } = step(state, input);
    return { state: after, output: { ...output, ...change(output) } };
  };
}

/** What is to wait for the disk does not. */
const atOnce = (kind: PaxosMessage["kind"]): StepFunction =>
  wanting(({ send, release }) => {
    const isEarly = ({ message }: Envelope): boolean => message.kind === kind;
    return {
      send: [...send, ...release.filter(isEarly)],
      release: release.filter((envelope) => !isEarly(envelope)),
    };
  });

/** A node takes the configuration for another one. */
const configuredAs =
  (config: Partial<PaxosState["config"]>): StepFunction =>
  (state, input) => {
    const stepped = step({ ...state, config: { ...state.config, ...config } }, input);
    return { ...stepped, state: { ...stepped.state, config: state.config } };
  };

const forgetsToRefuse = ({ promised, role }: PaxosState, message: Of<"phase2a">): boolean =>
  message.ballot < promised && role.kind === "follower";

const ACCEPTOR: readonly RemovedRule[] = [
  inModel("promises are forgotten on restart", TWO_CHOSEN, {
    ...HARM,
    keepsDead: false,
    crashes: 1,
    onRestart: (records) => records.filter(({ kind }) => kind !== "promised"),
  }),
  inModel("accepted values are forgotten on restart", TWO_CHOSEN, {
    ...HARM,
    keepsDead: false,
    crashes: 1,
    onRestart: (records) =>
      records.map((record) =>
        record.kind === "accepted" ? { kind: "promised", ballot: record.ballot } : record,
      ),
  }),
  inModel("a promise gives way to a lower one", /^C[14]: /, {
    ...HARM,
    step: hearing("phase1a", ({ state, message: { ballot } }) =>
      ballot < state.promised && state.role.kind === "follower"
        ? { state: { ...state, promised: ballot } }
        : {},
    ),
  }),
  inModel("proposals below the promise are accepted", TWO_CHOSEN, {
    ...HARM,
    step: hearing("phase2a", ({ state, message }) =>
      forgetsToRefuse(state, message) ? { state: { ...state, promised: message.ballot } } : {},
    ),
  }),
  inModel("a node votes however far it is behind", /breaks A7: /, {
    ...{ nodes: 3, slots: 2, ballots: 1, windowSlots: 1, ignoreHalts: true },
    step: configuredAs({ acceptAheadSlots: 2 }),
  }),
  inModel("accepting raises no promise", /halts: A3: accepted ballots never decrease/, {
    ...SMALLEST,
    keepsDead: true,
    step: (state, input) => {
      const stepped = step(state, input);
      const isAccepted = input.kind === "message" && input.message.kind === "phase2a";
      if (!isAccepted || state.role.kind !== "follower") return stepped;
      return { ...stepped, state: { ...stepped.state, promised: state.promised } };
    },
  }),
  inModel("a vote leaves before its record is durable", /breaks A4: a phase2b leaves before/, {
    ...BREACH,
    step: atOnce("phase2b"),
  }),
  inModel("the first page of a promise counts as all of it", /^C[12]: /, {
    ...BREACH,
    slots: 2,
    pageSlots: 1,
    prologue: TWO_PROPOSED,
    step: hearing("phase1b", ({ message }) => ({ message: { ...message, nextSlot: null } })),
  }),
];

const PROPOSER: readonly RemovedRule[] = [
  inModel("a leader tells two nodes two values", /^P1: two values were accepted in slot 1/, {
    ...BREACH,
    step: wanting(({ send }) => ({
      send: send.map((envelope) => {
        const { to, message } = envelope;
        if (message.kind !== "phase2a" || to !== nodeId(3)) return envelope;
        return { to, message: { ...message, value: new TextEncoder().encode("another") } };
      }),
    })),
  }),
  inModel("a candidate leads with one promise", TWO_CHOSEN, {
    ...HARM,
    step: configuredAs({ phase1Quorum: 1 }),
  }),
  inModel("reports are ignored", TWO_CHOSEN, {
    ...HARM,
    step: hearing("phase1b", ({ message }) => ({ message: { ...message, slots: [] } })),
  }),
  inModel("a leader that was replaced goes on", /halts: P4: nothing is proposed in a chosen slot/, {
    ...SMALLEST,
    step: (state, input) => {
      const after = step(state, input);
      const isLearnt = input.kind === "message" && input.message.kind === "learnReply";
      if (!isLearnt || state.role.kind !== "leader") return after;
      return { ...after, state: { ...after.state, role: state.role } };
    },
  }),
  inModel("a leader proposes beyond its window", /halts: P5: the window of unchosen slots/, {
    ...SMALLEST,
    windowSlots: 1,
    step: (state, input) => {
      const first = step(state, input);
      if (input.kind !== "propose") return first;
      const wide = { ...state.config, windowSlots: 2 };
      const second = step({ ...first.state, config: wide }, { kind: "propose", value: NO_OP });
      return { ...first, state: { ...second.state, config: state.config } };
    },
  }),
  inModel("one vote is enough", UNFOUNDED, {
    ...BREACH,
    step: configuredAs({ phase2Quorum: 1 }),
  }),
  inModel("a vote counts for whatever slot it was given", UNFOUNDED, {
    ...BREACH,
    slots: 2,
    prologue: TWO_PROPOSED,
    step: hearing("phase2b", ({ state: { role }, message }) => {
      const [first] = role.kind === "leader" ? role.inFlight.keys() : [];
      return first === undefined ? {} : { message: { ...message, slot: first } };
    }),
  }),
  inModel("a voter is taken for another one", UNFOUNDED, {
    ...BREACH,
    step: (state, input) => {
      const first = step(state, input);
      if (input.kind !== "message" || input.message.kind !== "phase2b") return first;
      const other = nodeId(1 + (input.from % 3));
      const again = step(first.state, { ...input, from: other });
      const apply = [...first.output.apply, ...again.output.apply];
      return { state: again.state, output: { ...first.output, apply } };
    },
  }),
];

const LEARNER: readonly RemovedRule[] = [
  inModel(
    "something is proposed that nobody submitted",
    /^C4: nobody submitted what slot 1 holds$/,
    {
      ...BREACH,
      step: (state, input) =>
        step(state, input.kind === "propose" ? { ...input, value: UNWANTED } : input),
    },
  ),
  inModel("a follower takes its leader's word for a value of another ballot", UNFOUNDED, {
    ...BREACH,
    step: hearing("heartbeat", ({ state, message: { ballot, chosenUpTo } }) => {
      let { log } = state;
      for (const [slot, entry] of log.from(slotOf(1))) {
        const isTaken = entry.kind === "accepted" && slot <= chosenUpTo && ballot >= state.promised;
        if (isTaken) log = log.set(slot, { ...entry, ballot });
      }
      return { state: { ...state, log } };
    }),
  }),
  inModel(
    "a slot is applied before the one in front of it",
    /breaks S1: slots are applied in order/,
    {
      ...SMALLEST,
      slots: 2,
      step: wanting(({ apply }) => ({ apply: [...apply].reverse() })),
    },
  ),
];

const BALLOTS: readonly RemovedRule[] = [
  inModel("phase 1 leaves before the own promise is durable", /breaks E2: phase 1 leaves/, {
    ...BREACH,
    step: atOnce("phase1a"),
  }),
  inModel("a leader goes on under a higher promise", /halts: E2: a leader has promised/, {
    ...SMALLEST,
    step: (state, input) => {
      const after = step(state, input);
      const isPromised = after.state.promised > state.promised;
      if (state.role.kind !== "leader" || !isPromised) return after;
      return { ...after, state: { ...after.state, role: state.role } };
    },
  }),
];

export const CORE: readonly RemovedRule[] = [...ACCEPTOR, ...PROPOSER, ...LEARNER, ...BALLOTS];
