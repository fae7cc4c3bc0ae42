/**
 * The port through which a participant asks what became of branches that it holds in doubt.
 *
 * Contract: each call asks one coordinator, in turn a different one, and resolves with one outcome per branch, in the
 * order of the question. Rejects when that coordinator gave no valid answer in time. An answer is a fact or "undecided";
 * it never presumes.
 */
import type { BranchOutcome, OutcomeInquiry } from "../../shared/model/inquiry.ts";

export interface OutcomeInquirer {
  /** How many coordinators there are to ask. */
  readonly coordinators: number;
  ask(inquiry: OutcomeInquiry): Promise<readonly BranchOutcome[]>;
}
