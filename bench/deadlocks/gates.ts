/**
 * Keeps transactions from their second row until each has its first, so that all of them are sure to wait for each other.
 *
 * A gate is an advisory lock of the row's name on each shard. Whoever waits at one waits for a session that waits for nobody, which
 * is no circle.
 */
import { setTimeout } from "node:timers/promises";
import pg from "pg";
import type { Database, Operation } from "./transactions.ts";

const LOOK_AGAIN_AFTER_MS = 5;
const SHUT = "select pg_advisory_lock(hashtext($1))";
const LIFT = "select pg_advisory_unlock(hashtext($1)) as lifted";
const PASS = "select 1 from (select pg_advisory_xact_lock_shared(hashtext($1))) passed";
/** Of an advisory lock by one bigint, `classid` and `objid` are its upper and lower half. */
const CROWD = `
  select exists (
    select from pg_locks
    where locktype = 'advisory' and not granted
      and database = (select oid from pg_database where datname = current_database())
      and objid::bigint = (hashtext($1)::bigint & x'ffffffff'::bigint)
  ) and not exists (
    select from deadlock_rows where name = $1 for update skip locked
  ) as crowd`;

/** Before the next operation of the same shard. */
export function passGate(shard: string, row: string): Operation {
  return { shard, sql: PASS, params: [row] };
}

export class Gates {
  readonly #sessions: ReadonlyMap<string, pg.Client>;

  private constructor(sessions: ReadonlyMap<string, pg.Client>) {
    this.#sessions = sessions;
  }

  static async open(databases: readonly Database[]): Promise<Gates> {
    const sessions = new Map<string, pg.Client>();
    for (const { shard, url } of databases) {
      const session = new pg.Client({ connectionString: url });
      await session.connect();
      sessions.set(shard, session);
    }
    return new Gates(sessions);
  }

  async shut(shards: readonly string[], row: string): Promise<void> {
    await Promise.all(shards.map((shard) => this.#session(shard).query(SHUT, [row])));
  }

  /** Ends when on all shards the row is taken and somebody waits at the gate, or when `given` says that this will not be. */
  async awaitCrowd(shards: readonly string[], row: string, given: AbortSignal): Promise<void> {
    while (!given.aborted) {
      const crowds = await Promise.all(
        shards.map((shard) =>
          this.#session(shard).query<{ readonly crowd: boolean }>(CROWD, [row]),
        ),
      );
      if (crowds.every(({ rows }) => rows[0]?.crowd === true)) return;
      await setTimeout(LOOK_AGAIN_AFTER_MS);
    }
  }

  async lift(shards: readonly string[], row: string): Promise<void> {
    await Promise.all(shards.map((shard) => this.#session(shard).query(LIFT, [row])));
  }

  async close(): Promise<void> {
    await Promise.all([...this.#sessions.values()].map((session) => session.end()));
  }

  #session(shard: string): pg.Client {
    const session = this.#sessions.get(shard);
    if (session === undefined) throw new Error(`no gate on ${shard}`);
    return session;
  }
}
