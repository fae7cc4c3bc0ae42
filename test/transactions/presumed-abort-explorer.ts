/**
 * Explores what coordinators may tell a participant or a client, over the production core, ledger, leadership, outcomes and
 * two-phase commit: whether one of them can say "aborted" and another, then or later, "committed".
 *
 * Node 1 leads under ballot 1.1, its barrier is applied everywhere, and it has proposed as many commits as have all votes and
 * its window takes. From there on everything can happen. Whoever leads next proposes its barrier.
 */
import { explore } from "../paxos/explorer.ts";
import type { Directive, Exploration, Scope } from "../paxos/explorer/scope.ts";
import { ExploredTransactions } from "./explored-transactions.ts";

const PROPOSE: Directive = { kind: "propose", node: 1 };
const SETTLE: Directive = { kind: "settle" };

export interface PresumedAbortScope {
  readonly voidsCommitsBelowFloor: boolean;
  /** Carriers that the first leader has begun. */
  readonly commits: number;
  /** Of these, how many still wait for their votes; default none. */
  readonly voting?: number;
  readonly ballots: number;
  readonly slots: number;
  readonly windowSlots: number;
  readonly maxStates?: number;
}

export function presumedAbort(scope: PresumedAbortScope): Scope {
  const { voidsCommitsBelowFloor, commits, voting = 0, windowSlots } = scope;
  const ready = Math.min(commits - voting, windowSlots);
  const elected: Directive = { kind: "campaign", node: 1, round: 1 };
  const proposals = Array.from({ length: ready }, () => PROPOSE);
  return {
    ...scope,
    nodes: 3,
    prologue: [elected, SETTLE, PROPOSE, SETTLE, ...proposals],
    application: new ExploredTransactions({ voidsCommitsBelowFloor, commits, voting }),
  };
}

export function explorePresumedAbort(scope: PresumedAbortScope): Exploration {
  return explore(presumedAbort(scope));
}
