/**
 * Named points between two steps of the protocol at which a test can end the process, to see what the others make of it.
 * In production `reach` does nothing: shared/runtime/failpoints.ts arms points only where two variables agree.
 */
export const FAILPOINTS = [
  /** The carrier exists in the leader's memory; no branch has been asked. */
  "beforePrepare",
  /** All votes are in; the commit is not proposed. */
  "afterVotes",
  /** The commit is applied; no branch has been told. */
  "afterChosen",
  /** One branch has confirmed; others may not have been reached. */
  "afterFirstCommit",
  /** All branches have confirmed; the completion is not logged. */
  "beforeComplete",
] as const;

export type Failpoint = (typeof FAILPOINTS)[number];

export type ReachFailpoint = (point: Failpoint) => void;

export const noFailpoints: ReachFailpoint = () => undefined;
