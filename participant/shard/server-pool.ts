/**
 * A pool of server connections for one purpose. Every new connection is asked who it is, and whether it leads to this
 * shard's database at all: addresses move, and a branch on a stranger's database would be lost for good.
 */
import type pg from "pg";
import { assert } from "../../shared/model/assert.ts";
import type { ClusterId, ShardId } from "../../shared/model/ids.ts";
import type { Clock } from "../../shared/model/ports.ts";
import { createDatabasePool, type DatabasePoolOptions } from "../../shared/runtime/database.ts";
import { STARTED_AT_US } from "./backend-control.ts";
import { ServerConnection } from "./server-connection.ts";
import { ShardUnreachable } from "./shard.ts";

const WHO_ARE_YOU = `
  select pid, ${STARTED_AT_US}::text as started_at_us, session_user::text as role,
    (select cluster_id from synod.identity) as cluster_id,
    (select shard_id from synod.identity) as shard_id
  from pg_catalog.pg_stat_activity where pid = pg_catalog.pg_backend_pid()`;

interface Who {
  readonly pid: number;
  readonly started_at_us: string;
  readonly role: string;
  readonly cluster_id: string;
  readonly shard_id: string;
}

export interface Taken {
  readonly connection: ServerConnection;
  readonly release: (reusable: boolean) => void;
}

export class ServerPool {
  readonly #pool: pg.Pool;
  readonly #connections = new WeakMap<pg.Client, ServerConnection>();

  constructor(
    options: Omit<DatabasePoolOptions, "onConnect">,
    clusterId: ClusterId,
    shardId: ShardId,
    clock: Clock,
  ) {
    this.#pool = createDatabasePool({
      ...options,
      onConnect: async (client) => {
        const question = { text: WHO_ARE_YOU, query_timeout: options.connectTimeoutMs };
        const { rows } = await client.query<Who>(question);
        const [who] = rows;
        if (who?.cluster_id !== clusterId || who.shard_id !== shardId) {
          throw new Error(`the database is not that of shard ${shardId} of cluster ${clusterId}`);
        }
        const backend = { pid: who.pid, startedAtUs: who.started_at_us };
        this.#connections.set(client, new ServerConnection(client, backend, who.role, clock));
      },
    });
  }

  /** Waits for a free connection, boundedly. Rejects with `ShardUnreachable`. */
  take(): Promise<Taken> {
    return new Promise((resolve, reject) => {
      this.#pool.connect((error, client) => {
        if (client === undefined) {
          const message = error?.message ?? "no connection";
          reject(new ShardUnreachable(message, { cause: error }));
          return;
        }
        const connection = this.#connections.get(client);
        assert(connection !== undefined, "every client of the pool was asked who it is");
        resolve({
          connection,
          release: (reusable) => {
            client.release(!reusable);
          },
        });
      });
    });
  }

  /** Opens so many connections, so that the first to need them do not wait. Rejects with `ShardUnreachable`. */
  async warmUp(connections: number): Promise<void> {
    const taking = Array.from({ length: connections }, () => this.take());
    for (const taken of await Promise.allSettled(taking)) {
      if (taken.status === "fulfilled") taken.value.release(true);
    }
    await Promise.all(taking);
  }

  end(): Promise<void> {
    return this.#pool.end();
  }
}
