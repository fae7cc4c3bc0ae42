/**
 * What the model check explores, each with the situations that it must meet on the way: a check that misses one fails, for then
 * it proves less than it says. `brief` ones are part of every test run, `long` ones of `npm run check:model`, `large` ones of
 * `npm run check:model -- --large`.
 */
import { presumedAbort } from "../transactions/presumed-abort-explorer.ts";
import type { TransactionSight } from "../transactions/explored-transactions.ts";
import type { Directive, Scope, Sight } from "./explorer/scope.ts";

export interface ModelCheck {
  readonly title: string;
  readonly length: "brief" | "long" | "large";
  readonly scope: Scope;
  readonly mustMeet: readonly (Sight | TransactionSight)[];
}

const ANYWHERE: readonly Sight[] = [
  "a value of an older ballot is proposed again",
  "a follower takes its leader's word",
];
const LEARNT: readonly Sight[] = [
  ...ANYWHERE,
  "a no-op fills a hole",
  "a chosen slot is learned from a peer",
  "a leader learns that it was replaced",
];
const PIPELINED: Sight = "a slot is chosen before an earlier one";
const CRASHED: Sight = "a node restarts";
const FAR_AHEAD: Sight = "a proposal far ahead gets no vote";
const PREEMPTED: Sight = "a leader is preempted by a nack";

const AGREEMENT: readonly ModelCheck[] = [
  {
    title: "agreement, with refusals",
    length: "brief",
    scope: { nodes: 3, slots: 2, ballots: 2, nacks: true },
    mustMeet: [...LEARNT, PIPELINED, PREEMPTED],
  },
  {
    title: "agreement, more ballots",
    length: "brief",
    scope: { nodes: 3, slots: 1, ballots: 3, nacks: true },
    mustMeet: [...LEARNT, PREEMPTED],
  },
  {
    title: "agreement, a node crashes",
    length: "brief",
    scope: { nodes: 3, slots: 2, ballots: 2, crashes: 1 },
    mustMeet: [...LEARNT, PIPELINED, CRASHED],
  },
  {
    title: "agreement, a node crashes, with refusals",
    length: "long",
    scope: { nodes: 3, slots: 2, ballots: 2, crashes: 1, nacks: true },
    mustMeet: [...LEARNT, PIPELINED, CRASHED, PREEMPTED],
  },
  {
    title: "agreement, a node crashes, more ballots",
    length: "long",
    scope: { nodes: 3, slots: 2, ballots: 3, crashes: 1, catchUp: "never" },
    mustMeet: [...ANYWHERE, "a no-op fills a hole", PIPELINED, CRASHED],
  },
  {
    title: "agreement, old proposals meet strangers",
    length: "brief",
    scope: { nodes: 5, slots: 1, ballots: 2 },
    mustMeet: LEARNT,
  },
  {
    title: "agreement, promises in pages",
    length: "brief",
    scope: { nodes: 3, slots: 2, ballots: 2, pageSlots: 1 },
    mustMeet: [...LEARNT, PIPELINED],
  },
  {
    title: "agreement, a node crashes, refusals",
    length: "large",
    scope: { nodes: 3, slots: 1, ballots: 3, crashes: 1, nacks: true },
    mustMeet: [...LEARNT, CRASHED, PREEMPTED],
  },
  {
    title: "agreement, four ballots",
    length: "large",
    scope: { nodes: 3, slots: 1, ballots: 4 },
    mustMeet: LEARNT,
  },
  {
    title: "agreement, three slots",
    length: "large",
    scope: { nodes: 3, slots: 3, ballots: 2 },
    mustMeet: [...LEARNT, PIPELINED],
  },
  {
    title: "agreement, more ballots and catch-up",
    length: "large",
    scope: { nodes: 3, slots: 2, ballots: 3 },
    mustMeet: [...LEARNT, PIPELINED],
  },
  {
    title: "agreement, old proposals and a crash",
    length: "large",
    scope: { nodes: 5, slots: 1, ballots: 2, crashes: 1 },
    mustMeet: [...LEARNT, CRASHED],
  },
];

const ASKED: readonly Sight[] = [
  "a node asks another peer for what it lacks",
  "a chosen slot arrives on a page",
];

const CATCH_UP: readonly ModelCheck[] = [
  {
    title: "catch-up, and everybody gets there",
    length: "brief",
    scope: { nodes: 3, slots: 2, ballots: 1, catchUp: "messages", convergesFromEvery: 1 },
    mustMeet: [...ASKED, "a follower takes its leader's word", PIPELINED],
  },
  {
    title: "catch-up while the leader changes",
    length: "long",
    scope: { nodes: 3, slots: 2, ballots: 2, catchUp: "messages", convergesFromEvery: 7 },
    mustMeet: [...ANYWHERE, ...ASKED, PIPELINED, "a no-op fills a hole"],
  },
  {
    title: "catch-up of who may not vote before, and everybody gets there",
    length: "brief",
    scope: {
      ...{ nodes: 3, slots: 3, ballots: 1, windowSlots: 1 },
      ...{ catchUp: "messages", convergesFromEvery: 1 },
    },
    mustMeet: [...ASKED, FAR_AHEAD],
  },
  {
    title: "catch-up of who may not vote before, while the leader changes",
    length: "long",
    scope: {
      ...{ nodes: 3, slots: 3, ballots: 2, windowSlots: 1 },
      ...{ catchUp: "messages", convergesFromEvery: 7 },
    },
    mustMeet: [...ANYWHERE, ...ASKED, FAR_AHEAD],
  },
];

/** Node 1 leads, and a first slot is chosen of which node 3 knows nothing. */
const ONE_BEHIND: readonly Directive[] = [
  { kind: "campaign", node: 1, round: 1 },
  { kind: "settle" },
  { kind: "propose", node: 1 },
  { kind: "settle", without: 3 },
];

const SNAPSHOT: readonly Sight[] = [
  "a log is truncated below a snapshot",
  "a snapshot is offered",
  "a peer's snapshot is installed",
  "a candidate meets a truncation above what it knows and gives up",
  "a leader is offered a snapshot and steps down",
];
const OVERTAKEN: Sight = "a snapshot comes too late and is ignored";
const RESTORED: Sight = "a node restarts from a snapshot";

const SNAPSHOTS: readonly ModelCheck[] = [
  {
    title: "a snapshot, and everybody gets there",
    length: "brief",
    scope: {
      nodes: 3,
      slots: 1,
      ballots: 2,
      snapshots: 1,
      catchUp: "messages",
      convergesFromEvery: 1,
    },
    mustMeet: [...ANYWHERE, ...ASKED, ...SNAPSHOT, OVERTAKEN],
  },
  {
    title: "a snapshot, and a node crashes",
    length: "long",
    scope: {
      nodes: 3,
      slots: 1,
      ballots: 2,
      snapshots: 1,
      crashes: 1,
      catchUp: "messages",
      convergesFromEvery: 7,
    },
    mustMeet: [...ANYWHERE, ...ASKED, ...SNAPSHOT, OVERTAKEN, CRASHED, RESTORED],
  },
  {
    title: "a snapshot in the middle of a log",
    length: "long",
    scope: { nodes: 3, slots: 2, ballots: 2, snapshots: 1 },
    mustMeet: [...LEARNT, ...SNAPSHOT, PIPELINED],
  },
  {
    title: "a snapshot that leaves a slot in the log",
    length: "long",
    scope: { nodes: 3, slots: 2, ballots: 2, snapshots: 1, trailingSlots: 1 },
    mustMeet: [...LEARNT, ...SNAPSHOT, PIPELINED],
  },
  {
    title: "a snapshot, a node behind, a crash",
    length: "long",
    scope: { nodes: 3, slots: 2, ballots: 2, snapshots: 1, crashes: 1, prologue: ONE_BEHIND },
    mustMeet: [...LEARNT, ...SNAPSHOT, CRASHED, RESTORED],
  },
  {
    title: "two snapshots, a node behind, a crash",
    length: "large",
    scope: { nodes: 3, slots: 2, ballots: 2, snapshots: 2, crashes: 1, prologue: ONE_BEHIND },
    mustMeet: [...LEARNT, ...SNAPSHOT, OVERTAKEN, CRASHED, RESTORED],
  },
  {
    title: "two snapshots",
    length: "large",
    scope: { nodes: 3, slots: 2, ballots: 2, snapshots: 2 },
    mustMeet: [...LEARNT, ...SNAPSHOT, PIPELINED],
  },
  {
    title: "a snapshot in the middle of a log, and a crash",
    length: "large",
    scope: { nodes: 3, slots: 2, ballots: 2, snapshots: 1, crashes: 1 },
    mustMeet: [...LEARNT, ...SNAPSHOT, PIPELINED, CRASHED, RESTORED],
  },
];

const PROBED: readonly Sight[] = [
  ...ANYWHERE,
  "a probe is granted",
  "a probe is refused for a living leader",
  "a prober hears a leader and follows",
  "a leader hears no quorum and steps down",
  "a leader is elected by way of probes",
];
const LED: readonly Directive[] = [{ kind: "timeout", node: 1 }, { kind: "settle" }];

const PROBES: readonly ModelCheck[] = [
  {
    title: "elections by way of probes, from nothing",
    length: "brief",
    scope: { nodes: 3, slots: 1, ballots: 2, timeouts: 2, catchUp: "never", nacks: true },
    mustMeet: [...PROBED, PREEMPTED],
  },
  {
    title: "elections by way of probes, and a crash",
    length: "long",
    scope: { nodes: 3, slots: 1, ballots: 2, timeouts: 2, crashes: 1, catchUp: "never" },
    mustMeet: [...PROBED, CRASHED],
  },
  {
    title: "elections by way of probes, a third leader",
    length: "long",
    scope: {
      nodes: 3,
      slots: 1,
      ballots: 3,
      timeouts: 3,
      catchUp: "never",
      prologue: LED,
    },
    mustMeet: [...PROBED, "a no-op fills a hole"],
  },
  {
    title: "elections by way of probes, a crash, refusals",
    length: "large",
    scope: {
      nodes: 3,
      slots: 1,
      ballots: 2,
      timeouts: 2,
      crashes: 1,
      catchUp: "never",
      nacks: true,
      prologue: LED,
    },
    mustMeet: [...PROBED, CRASHED, PREEMPTED],
  },
  {
    title: "elections by way of probes, a third leader, refusals",
    length: "large",
    scope: {
      nodes: 3,
      slots: 1,
      ballots: 3,
      timeouts: 3,
      catchUp: "never",
      nacks: true,
      prologue: LED,
    },
    mustMeet: [...PROBED, "a no-op fills a hole", PREEMPTED],
  },
  {
    title: "elections by way of probes, a third leader, a crash",
    length: "large",
    scope: {
      nodes: 3,
      slots: 1,
      ballots: 3,
      timeouts: 3,
      crashes: 1,
      catchUp: "never",
      prologue: LED,
    },
    mustMeet: [...PROBED, "a no-op fills a hole", CRASHED],
  },
];

const SURFACED: readonly TransactionSight[] = [
  "a commit surfaces under a later leader and stands",
  "an abort is presumed of what no ledger holds",
  "an abort is presumed of a commit that was proposed",
];
const VOTED_IN: readonly TransactionSight[] = [
  ...SURFACED,
  "an abort is presumed of a carrier whose branches are all prepared",
  "a leader knows by its own memory that a carrier is aborted",
  "a branch refuses",
  "the deadline passes while the decision is open",
];
const FLOOR = { slots: 3, windowSlots: 2, voidsCommitsBelowFloor: true } as const;

const TRANSACTIONS: readonly ModelCheck[] = [
  {
    title: "presumed abort, a leader lost while branches vote",
    length: "brief",
    scope: presumedAbort({ ...FLOOR, commits: 2, voting: 1, ballots: 2 }),
    mustMeet: [...LEARNT, ...VOTED_IN],
  },
  {
    title: "presumed abort, two leaders lost while branches vote",
    length: "long",
    scope: presumedAbort({ ...FLOOR, commits: 1, voting: 1, ballots: 3 }),
    mustMeet: [...LEARNT, ...VOTED_IN],
  },
  {
    title: "presumed abort, a late commit from a minority",
    length: "long",
    scope: presumedAbort({ ...FLOOR, commits: 2, ballots: 3 }),
    mustMeet: [...LEARNT, ...SURFACED, PIPELINED, "a commit is void"],
  },
  {
    title: "presumed abort, a late commit and a vote",
    length: "large",
    scope: presumedAbort({ ...FLOOR, commits: 2, voting: 1, ballots: 3 }),
    mustMeet: [...LEARNT, ...VOTED_IN, PIPELINED, "a commit is void"],
  },
];

export const MODEL_CHECKS: readonly ModelCheck[] = [
  ...AGREEMENT,
  ...CATCH_UP,
  ...SNAPSHOTS,
  ...PROBES,
  ...TRANSACTIONS,
];
