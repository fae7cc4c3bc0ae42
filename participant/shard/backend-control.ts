/**
 * Power over server processes from a second connection: interrupt what runs, end the process, and make sure that the ones
 * that were lost sight of are gone.
 *
 * A process is named by its pid and start time: pids are used again.
 */
import type pg from "pg";
import type { Logger } from "../../shared/model/ports.ts";
import { ask } from "./ask.ts";
import { ShardUnreachable } from "./shard.ts";

export interface Backend {
  readonly pid: number;
  /** Microseconds since 1970, in decimal. */
  readonly startedAtUs: string;
}

/** As SQL: the start time of a row of pg_stat_activity in the form of `Backend`. */
export const STARTED_AT_US = "(extract(epoch from backend_start) * 1000000)::pg_catalog.int8";

const CANCEL = `
  select pg_catalog.pg_cancel_backend(pid) from pg_catalog.pg_stat_activity
  where pid = $1 and ${STARTED_AT_US} = $2`;
const TERMINATE = `
  select pid, pg_catalog.pg_terminate_backend(pid, $3) as gone from pg_catalog.pg_stat_activity
  join unnest($1::int[], $2::int8[]) as lost (lost_pid, lost_start)
    on pid = lost_pid and ${STARTED_AT_US} = lost_start`;
const TERMINATE_PREDECESSORS = `
  select pid, pg_catalog.pg_terminate_backend(pid, $2) as gone from pg_catalog.pg_stat_activity
  where application_name = any ($1) and datname = pg_catalog.current_database()
    and usename = session_user`;

/** How long one call waits for a process to end. */
const TERMINATE_WAIT_MS = 5_000;

export class BackendControl {
  readonly #pool: pg.Pool;
  readonly #logger: Logger;
  readonly #lost = new Map<string, Backend>();

  constructor(pool: pg.Pool, logger: Logger) {
    this.#pool = pool;
    this.#logger = logger;
  }

  /** Rejects with `ShardUnreachable`. Resolves when the signal is sent, or there is no such process. */
  async cancel({ pid, startedAtUs }: Backend): Promise<void> {
    await ask(this.#pool, CANCEL, [pid, startedAtUs]);
  }

  /** Rejects with `ShardUnreachable`, also when the process does not end in time. */
  async terminate(backends: readonly Backend[]): Promise<void> {
    const pids = backends.map(({ pid }) => pid);
    const starts = backends.map(({ startedAtUs }) => startedAtUs);
    this.#assertGone(await ask(this.#pool, TERMINATE, [pids, starts, TERMINATE_WAIT_MS]));
  }

  /**
   * Ends what an earlier incarnation left running: a PREPARE of it may still be in a socket's buffer. Only safe before this
   * incarnation opened connections under these names.
   */
  async terminatePredecessors(applicationNames: readonly string[]): Promise<void> {
    const values = [applicationNames, TERMINATE_WAIT_MS];
    this.#assertGone(await ask(this.#pool, TERMINATE_PREDECESSORS, values));
  }

  #assertGone(rows: readonly Readonly<Record<string, unknown>>[]): void {
    const left = rows.filter(({ gone }) => gone !== true);
    if (left.length === 0) return;
    throw new ShardUnreachable(`server process ${String(left[0]?.["pid"])} does not end`);
  }

  /** From now on the process is ended by the next `fence`. */
  lose(backend: Backend): void {
    this.#lost.set(`${backend.pid} ${backend.startedAtUs}`, backend);
    this.#logger.debug({ pid: backend.pid }, "server process lost sight of");
  }

  async fence(): Promise<void> {
    if (this.#lost.size === 0) return;
    const lost = [...this.#lost];
    await this.terminate(lost.map(([, backend]) => backend));
    for (const [key] of lost) this.#lost.delete(key);
  }
}
