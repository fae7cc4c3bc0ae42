/**
 * The safety rules that a simulation can switch off, to show that it would notice their absence.
 *
 *   no floor              commits of lower ballots that surface behind a barrier are not void
 *   promises forgotten    a coordinator that restarts has forgotten what it promised
 *   told before durable   what a coordinator says leaves before its log has it
 *   any tag is a vote     PREPARE TRANSACTION that answers with the tag ROLLBACK counts as a vote
 *   absence is evidence   COMMIT PREPARED answered by "does not exist" counts as done
 */
export const MUTATIONS = [
  "no floor",
  "promises forgotten",
  "told before durable",
  "any tag is a vote",
  "absence is evidence",
] as const;

export type Mutation = "none" | (typeof MUTATIONS)[number];

export function readMutation(text: string): Mutation {
  const known = MUTATIONS.find((mutation) => mutation === text);
  if (known === undefined && text !== "none") {
    throw new Error(`"${text}" is none of: ${MUTATIONS.join(", ")}`);
  }
  return known ?? "none";
}
