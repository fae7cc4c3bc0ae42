/**
 * What a client may send, beside what its role lets it do. The database role of the shard is the real fence: a function that a
 * SELECT calls may write, and nothing here sees it.
 */
import type { StatementClass } from "../../../shared/runtime/sql-rules.ts";

export interface Rights {
  /** Undefined: all of them, here and below. */
  readonly shards?: readonly string[] | undefined;
  readonly statementClasses?: readonly StatementClass[] | undefined;
  /** False: only statements that an operator has named. */
  readonly rawSql?: boolean | undefined;
}

export const ALL_RIGHTS: Rights = {};

export interface Lack {
  readonly field: "shard" | "sql" | "statement";
  readonly sentence: string;
}

/** What is to be run: by its text, or by a name. */
export interface Wish {
  readonly shard: string;
  readonly name: string | undefined;
  readonly classes: readonly StatementClass[];
}

/** The right that is missing; undefined when none is. */
export function lackOf(rights: Rights, { shard, name, classes }: Wish): Lack | undefined {
  const { statementClasses, rawSql } = rights;
  const field = name === undefined ? "sql" : "statement";
  if (rawSql === false && name === undefined) {
    const sentence = "this client may run named statements only (right: rawSql)";
    return { field, sentence };
  }
  const lackOfShard = objectionToShard(rights, shard);
  if (lackOfShard !== undefined) return { field: "shard", sentence: lackOfShard };
  const missing = classes.find((one) => statementClasses?.includes(one) === false);
  if (missing === undefined) return undefined;
  const sentence = `this client may not ${missing} (right: statementClasses)`;
  return { field, sentence };
}

/** Undefined: it may use the shard for something. */
export function objectionToShard({ shards }: Rights, shard: string): string | undefined {
  if (shards?.includes(shard) !== false) return undefined;
  return `this client has no right to shard "${shard}" (right: shards)`;
}
