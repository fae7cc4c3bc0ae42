/**
 * Connections to one Postgres database: pools of `pg`, and knex on top of such a pool for everything that is not hot.
 *
 * What a pool promises beyond `pg.Pool`: connections are never closed for being idle (a new one costs the server a
 * process), an error on any client, idle or taken, is reported and never ends this program, and session defaults go
 * into the startup packet, so that RESET ALL returns to them.
 */
import knexPackage, { type Knex } from "knex";
import pg from "pg";

export interface DatabasePoolOptions {
  readonly url: string;
  /** Shown in pg_stat_activity. */
  readonly applicationName: string;
  readonly maxConnections: number;
  /** Bounds connecting, and waiting for a free connection. */
  readonly connectTimeoutMs: number;
  /** Beyond it a query is given up, and its connection with it. None by default. */
  readonly queryTimeoutMs?: number;
  /** Server settings of every session: names of [a-z_.], values without blanks. */
  readonly settings?: Readonly<Record<string, string | number>>;
  /** Runs once on each new connection before its first use; rejecting closes it. */
  readonly onConnect?: (client: pg.Client) => Promise<void>;
  readonly onError: (error: Error) => void;
}

export function createDatabasePool(options: DatabasePoolOptions): pg.Pool {
  const settings = Object.entries(options.settings ?? {});
  // @types/pg does not know that the pool awaits this, nor that it always passes a whole client.
  const onConnect = async (client: pg.Client): Promise<void> => {
    client.on("error", options.onError);
    await options.onConnect?.(client);
  };
  const pool = new pg.Pool({
    connectionString: options.url,
    application_name: options.applicationName,
    max: options.maxConnections,
    connectionTimeoutMillis: options.connectTimeoutMs,
    idleTimeoutMillis: 0,
    query_timeout: options.queryTimeoutMs,
    keepAlive: true,
    options: settings.map(([name, value]) => `-c ${name}=${value}`).join(" "),
    onConnect: onConnect as unknown as (client: pg.ClientBase) => void,
  });
  // Errors of idle clients reach the pool as well; the client's own listener has reported them.
  pool.on("error", () => undefined);
  return pool;
}

/** What knex would print to the console, it also rejects with. */
const silent = {
  warn: () => undefined,
  error: () => undefined,
  deprecate: () => undefined,
  debug: () => undefined,
};

/** Knex over somebody else's pool; `destroy` leaves the pool open. */
export function createKnex(pool: pg.Pool): Knex {
  return knexPackage.knex({ client: "pg", connectionPool: pool, log: silent });
}
