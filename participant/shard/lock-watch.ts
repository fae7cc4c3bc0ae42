/**
 * Asks the server who waits for whom, on a connection of its own: when locks are short, so may other connections be.
 *
 * - A session is named by pid and start time of its server process. pids are used again.
 * - A wait is named by its session and the moment it began (`waitstart`), so that two waits of one session, one after the
 *   other, are never taken for one.
 * - A prepared transaction has no process: `pg_blocking_pids` says 0. It is found by its locks: those without a pid on the
 *   object waited for, in a mode that conflicts. All locks of one transaction carry one `virtualtransaction`, among them the
 *   one on its own xid, and that leads to the gid. So locks on tables and locks of subtransactions are found as well.
 */
import type pg from "pg";
import type { GlobalId } from "../../shared/model/ids.ts";
import { ask } from "./ask.ts";
import { type Backend, STARTED_AT_US } from "./backend-control.ts";
import { modesConflict } from "./lock-modes.ts";
import type { LockWait, ShardSession } from "./shard.ts";
import { chainWaits, type ServerWait } from "./wait-chains.ts";

export interface LeftOut {
  /** Waits for these end whatever transactions do: they are held for one action on a page, not to the end of a transaction. */
  readonly lockTypes: readonly string[];
  /** The server ends these by itself when they are in the way. */
  readonly backendTypes: readonly string[];
}
export const LEFT_OUT: LeftOut = {
  lockTypes: ["extend", "frozenid", "page", "spectoken", "applytransaction"],
  backendTypes: ["autovacuum worker"],
};

/** More waiting sessions than this on one server are not looked at: those that wait the longest are. */
const MAX_WAITING_SESSIONS = 1_024;
/** Of the reply. 64 branches that all wait for each other's turn on one row make 2,016. */
const MAX_LOCK_WAITS = 2_048;

const WAITING = `
  with locks as materialized (select * from pg_catalog.pg_locks),
  backends as materialized (
    select pid, pg_catalog.concat(pid, ' ', ${STARTED_AT_US}) as name
    from pg_catalog.pg_stat_activity
    where datname = pg_catalog.current_database()
      and coalesce(backend_type, '') <> all ($2)),
  waiting as materialized (
    select locks.*, name, pg_catalog.pg_blocking_pids(pid) as blockers
    from locks join backends using (pid)
    where not granted and waitstart is not null and locktype <> all ($1)
    order by waitstart limit $3),
  prepared as materialized (
    select virtualtransaction, gid
    from locks join pg_catalog.pg_prepared_xacts on transactionid = transaction
    where locks.pid is null and locktype = 'transactionid')
  select name, mode, (extract(epoch from waitstart) * 1000000)::pg_catalog.int8::text as since,
    array(select backends.name from backends where pid = any (blockers) order by 1) as sessions,
    array(select pg_catalog.json_build_object('gid', gid, 'mode', locks.mode)
      from locks join prepared using (virtualtransaction)
      where 0 = any (blockers) and locks.pid is null and granted
        and (locktype, database, relation, page, tuple, virtualxid, transactionid, classid, objid, objsubid)
          is not distinct from (waiting.locktype, waiting.database, waiting.relation, waiting.page,
            waiting.tuple, waiting.virtualxid, waiting.transactionid, waiting.classid, waiting.objid, waiting.objsubid)
      order by gid) as prepared
  from waiting order by waitstart`;

interface WaitingRow {
  readonly name: string;
  readonly mode: string;
  readonly since: string;
  readonly sessions: readonly string[];
  readonly prepared: readonly { readonly gid: string; readonly mode: string }[];
}

export interface WatchedSession extends ShardSession {
  readonly backend: Backend;
}

export class LockWatch {
  readonly #pool: pg.Pool;
  readonly #leftOut: LeftOut;

  constructor(pool: pg.Pool, leftOut = LEFT_OUT) {
    this.#pool = pool;
    this.#leftOut = leftOut;
  }

  /** Opens the connection: the first deadlock is to be found as soon as others. Rejects with `ShardUnreachable`. */
  async warmUp(): Promise<void> {
    await this.#ask();
  }

  /** `open`: the sessions as they are at each moment. Rejects with `ShardUnreachable`. */
  async waits(open: ReadonlySet<WatchedSession>): Promise<readonly LockWait[]> {
    const before = new Map([...open].map((session) => [nameOf(session.backend), session]));
    const rows = await this.#ask();
    // Only of a session that was there before and after is it certain that the process worked for it in between.
    const lasting = (name: string): WatchedSession | undefined => {
      const session = before.get(name);
      return session !== undefined && open.has(session) ? session : undefined;
    };
    const waits = rows.map(readWait);
    const isOurs = (node: string): boolean => isGid(node) || lasting(node) !== undefined;
    return chainWaits(waits, isOurs, MAX_LOCK_WAITS).flatMap(
      ({ waiter, holder, evidence }): LockWait[] => {
        const session = lasting(waiter);
        if (session === undefined) return [];
        const other = lasting(holder);
        return other === undefined
          ? [{ waiter: session, holder: { kind: "prepared", gid: gidIn(holder) }, evidence }]
          : [{ waiter: session, holder: { kind: "session", session: other }, evidence }];
      },
    );
  }

  async #ask(): Promise<readonly WaitingRow[]> {
    const { lockTypes, backendTypes } = this.#leftOut;
    const values = [lockTypes, backendTypes, MAX_WAITING_SESSIONS];
    return (await ask(this.#pool, WAITING, values)) as unknown as readonly WaitingRow[];
  }
}

function nameOf({ pid, startedAtUs }: Backend): string {
  return `${pid} ${startedAtUs}`;
}

/** Prepared transactions are nodes, too; no session's name begins so. */
const GID_MARK = "gid ";

function isGid(node: string): boolean {
  return node.startsWith(GID_MARK);
}

function gidIn(node: string): GlobalId {
  return node.slice(GID_MARK.length) as GlobalId;
}

function readWait({ name, mode, since, sessions, prepared }: WaitingRow): ServerWait<string> {
  const inTheWay = prepared.filter((other) => modesConflict(mode, other.mode));
  const gids = inTheWay.map(({ gid }) => `${GID_MARK}${gid}`);
  return { waiter: name, name: `${name} since ${since}`, holders: [...sessions, ...new Set(gids)] };
}
