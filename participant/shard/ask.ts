/**
 * One question to the server on any connection of a pool: for everything that is asked seldom.
 */
import pg from "pg";
import { ShardUnreachable } from "./shard.ts";

/** Rejects with `ShardUnreachable` alone; where the server itself said no, its error is the cause. */
export async function ask(
  pool: pg.Pool,
  text: string,
  values: readonly unknown[] = [],
): Promise<readonly Readonly<Record<string, unknown>>[]> {
  try {
    const { rows } = await pool.query<Readonly<Record<string, unknown>>>(text, [...values]);
    return rows;
  } catch (error) {
    throw unreachableBecause(error);
  }
}

export function unreachableBecause(error: unknown): ShardUnreachable {
  const message = error instanceof Error ? error.message : String(error);
  return new ShardUnreachable(message, { cause: error });
}

/** The SQLSTATE with which the server said no; undefined when it said nothing. */
export function sqlstateBehind(error: unknown): string | undefined {
  const cause = error instanceof ShardUnreachable ? error.cause : undefined;
  return cause instanceof pg.DatabaseError ? cause.code : undefined;
}
