/**
 * What is left of a run when it is over and all is quiet, each part from whoever is the authority on it. Ids are plain text here, so
 * that what Postgres, the log and the API say can be put in as it is.
 */

export interface Evidence {
  readonly asked: readonly Asked[];
  readonly sayings: readonly Saying[];
  readonly logs: readonly NodeLog[];
  readonly shards: readonly ShardEvidence[];
}

/** What a client asked for, under its own name for it, such as its idempotency key. */
export interface Asked {
  readonly transaction: string;
  /** Where the transaction writes its row, once on each. */
  readonly writes: readonly string[];
}

/** What somebody was told of a transaction; what is not definite is no saying. */
export interface Saying {
  /** Who told it to whom, in words: `node 2 to client 5`. */
  readonly by: string;
  readonly transaction: string;
  readonly outcome: "committed" | "aborted";
}

/** What one coordinator's log says (`decisions.ts` reads it off the commands). */
export interface NodeLog {
  readonly node: string;
  /** From the first slot on: what is not in it was never decided. */
  readonly isComplete: boolean;
  readonly decisions: readonly Decision[];
}

export interface Decision {
  readonly carrier: string;
  readonly outcome: "committed" | "void";
  readonly transactions: readonly string[];
  readonly branches: readonly Branch[];
}

interface Branch {
  readonly shard: string;
  readonly gid: string;
  readonly xid: string;
}

export interface ShardEvidence {
  readonly shard: string;
  /** Of the table into which every transaction writes a row in its own branch. */
  readonly rows: readonly Row[];
  /** `pg_prepared_xacts` */
  readonly prepared: readonly Prepared[];
  /** `pg_xact_status` of the xids that were voted with, as far as it was asked for. */
  readonly endings: readonly Ending[];
}

export interface Row {
  readonly transaction: string;
  /** A column with the default `pg_current_xact_id()`; null where the table has none. */
  readonly xid: string | null;
}

export interface Prepared {
  readonly gid: string;
  /** Null where only gids were read. */
  readonly xid: string | null;
}

interface Ending {
  readonly xid: string;
  readonly status: "committed" | "aborted";
}
