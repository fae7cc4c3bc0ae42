/**
 * The safety rules that a simulation can switch off, to show that it would notice their absence.
 */
export type Mutation =
  | "none"
  /** Commits of lower ballots that surface behind a barrier are not void. */
  | "no floor"
  /** A coordinator that restarts has forgotten what it promised. */
  | "promises forgotten"
  /** PREPARE TRANSACTION that answers with the tag ROLLBACK counts as a vote. */
  | "any tag is a vote"
  /** COMMIT PREPARED answered by "does not exist" counts as done. */
  | "absence is evidence";
