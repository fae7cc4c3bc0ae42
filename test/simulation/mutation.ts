/**
 * The safety rules that a simulation can switch off, to show that it would notice their absence. Each is broken from the
 * outside, by what the production code is given or by what stands around it: world/mutated-coordinator.ts,
 * world/mutated-participant.ts, and the options of the log and the ledger that exist for tests.
 */
export const MUTATIONS = [
  /** Commits of lower ballots that surface behind a barrier are not void. */
  "no floor",
  /** A coordinator that restarts has forgotten what it promised. */
  "promises forgotten",
  /** What a coordinator says leaves before its log has it. */
  "told before durable",
  /** A candidate does not look at what promises report. */
  "reports ignored",
  /** The log is cut before the record that names the snapshot is durable. */
  "cut before durable",
  /** A node goes on behind a snapshot without taking over what is in it. */
  "snapshot not restored",
  /** First answers are not kept with the commit. */
  "answers not kept",
  /** Each node hashes idempotency keys in a way of its own. */
  "a key for each node",
  /** A leader that was replaced says "aborted" under a key without proof that it leads. */
  "aborted without proof",
  /** A leader forgets under which keys it has said "aborted". */
  "aborts forgotten",
  /** A deadline that passes while the decision is out counts as an abort. */
  "unknown told as aborted",
  /** Absence from the ledger is "aborted" to whoever was elected, before its barrier is applied. */
  "aborted before the barrier",
  /** Absence from the ledger is "aborted" to every node, leader or not. */
  "undecided is aborted",
  /** A leader's sweep aborts what it is itself about to commit. */
  "own ballot aborted",
  /** A delivery that is not answered counts as confirmed, and the carrier as complete. */
  "silence is a confirmation",
  /** PREPARE TRANSACTION that answers with the tag ROLLBACK counts as a vote. */
  "any tag is a vote",
  /** COMMIT PREPARED answered by "does not exist" counts as done. */
  "absence is evidence",
  /** What runs on one shard commits without its receipt. */
  "receipt left out",
  /** A participant runs an execute as often as it arrives. */
  "carriers forgotten",
  /** A participant runs what was meant for its predecessor. */
  "any incarnation",
  /** A branch goes on without the member that failed, and says yes for it. */
  "a member is left out",
  /** Who is waited for counts as waiting, too. */
  "waits both ways",
  /** A participant in doubt does not ask, but rolls back. */
  "decides alone",
  /** A read takes what each shard shows, whatever the others do. */
  "snapshots not compared",
  /** A leader that was replaced answers reads without proof that it leads. */
  "read without proof",
] as const;

/** Noticed only in a schedule that chance does not come to soon: held-up.test.ts drives it by hand. */
const DRIVEN_MUTATIONS = [
  /** A node that leads runs what a forwarding node meant for an earlier leader. */
  "meant for anybody",
] as const;

export type SeededMutation = (typeof MUTATIONS)[number];
export type Mutation = "none" | SeededMutation | (typeof DRIVEN_MUTATIONS)[number];

export function readMutation(text: string): Mutation {
  const all = [...MUTATIONS, ...DRIVEN_MUTATIONS];
  const known = all.find((mutation) => mutation === text);
  if (known === undefined && text !== "none") {
    throw new Error(`"${text}" is none of: ${all.join(", ")}`);
  }
  return known ?? "none";
}
