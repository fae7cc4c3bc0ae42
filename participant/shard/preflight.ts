/**
 * What must be true of a database before branches are prepared on it. Each finding names the setting that mends it.
 */
import type { Knex } from "knex";
import type { ClusterId, ShardId } from "../../shared/model/ids.ts";
import { migrateShard } from "../../migrations/index.ts";

export interface PreflightOptions {
  readonly clusterId: ClusterId;
  readonly shardId: ShardId;
  readonly maxBranches: number;
  /** All pools together. */
  readonly connections: number;
}

/** Nothing that waiting would mend: the participant must not start. */
export class PreflightFailed extends Error {
  override readonly name = "PreflightFailed";
  readonly findings: readonly string[];

  constructor(findings: readonly string[]) {
    super(findings.join("\n"));
    this.findings = findings;
  }
}

const OLDEST_SERVER = 140_000;

const READ_SETTINGS = `
  select current_setting('server_version_num')::int as version,
    current_setting('server_version') as version_name,
    current_setting('max_prepared_transactions')::int as prepared,
    current_setting('max_connections')::int
      - current_setting('superuser_reserved_connections')::int
      - coalesce(current_setting('reserved_connections', true), '0')::int as connections,
    coalesce(current_setting('prepared_orphaned_transaction_timeout', true), '0') as orphan_timeout,
    current_setting('synchronous_commit') as synchronous_commit,
    pg_is_in_recovery() as is_standby`;

export interface ServerSettings {
  readonly version: number;
  readonly version_name: string;
  readonly prepared: number;
  readonly connections: number;
  readonly orphan_timeout: string;
  readonly synchronous_commit: string;
  readonly is_standby: boolean;
}

/** Empty when the server will do. */
export function findings(server: ServerSettings, options: PreflightOptions): readonly string[] {
  const { maxBranches, connections } = options;
  const found: string[] = [];
  if (server.version < OLDEST_SERVER) {
    found.push(`Postgres ${server.version_name} is too old: use 14 or later`);
  }
  if (server.is_standby) {
    found.push("the server is a standby: point SYNOD_DATABASE_URL at the primary");
  }
  if (server.prepared === 0) {
    found.push(
      `max_prepared_transactions is 0, so nothing can be prepared: set it to more than ${maxBranches} in postgresql.conf and restart the server`,
    );
  } else if (server.prepared <= maxBranches) {
    found.push(
      `max_prepared_transactions is ${server.prepared}: set it to more than ${maxBranches} (SYNOD_MAX_BRANCHES) in postgresql.conf and restart the server, or lower SYNOD_MAX_BRANCHES`,
    );
  }
  if (server.connections < connections) {
    found.push(
      `the server allows ${server.connections} connections and this participant may use ${connections}: raise max_connections, or lower SYNOD_MAX_BRANCHES`,
    );
  }
  if (Number.parseFloat(server.orphan_timeout) !== 0) {
    found.push(
      `prepared_orphaned_transaction_timeout is ${server.orphan_timeout}: set it to 0, or the server rolls back branches that were promised to commit`,
    );
  }
  if (server.synchronous_commit === "off") {
    found.push(
      "synchronous_commit is off, so a crash of the server would lose transactions of this shard alone that are acknowledged: set it to on, for the role and the database too",
    );
  }
  return found;
}

/**
 * Checks the server, brings the schema `synod` up to date and makes sure that it is this shard's: the first participant to
 * come claims a new database. Rejects with `PreflightFailed`, or with the error of a server that cannot be asked now.
 */
export async function preflight(knex: Knex, options: PreflightOptions): Promise<void> {
  const { rows } = await knex.raw<{ rows: ServerSettings[] }>(READ_SETTINGS);
  const [server] = rows;
  if (server === undefined) throw new Error("the server told no settings");
  const found = findings(server, options);
  if (found.length > 0) throw new PreflightFailed(found);
  await migrateShard(knex);
  await claimIdentity(knex, options);
}

async function claimIdentity(knex: Knex, { clusterId, shardId }: PreflightOptions): Promise<void> {
  await knex("synod.identity")
    .insert({ cluster_id: clusterId, shard_id: shardId })
    .onConflict("only_row")
    .ignore();
  const owner = await knex<{ cluster_id: string; shard_id: string }>("synod.identity").first();
  if (owner?.cluster_id === clusterId && owner.shard_id === shardId) return;
  throw new PreflightFailed([
    `the database belongs to shard ${owner?.shard_id ?? "?"} of cluster ${owner?.cluster_id ?? "?"}, not to shard ${shardId} of cluster ${clusterId}: correct SYNOD_DATABASE_URL, SYNOD_SHARD_ID or SYNOD_CLUSTER_ID`,
  ]);
}
