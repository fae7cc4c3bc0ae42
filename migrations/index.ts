/**
 * The schema `synod` that every shard's database holds, as a static ordered list: nothing is read from disk at run time,
 * so a bundled or copied program migrates exactly what it was built with.
 */
import type { Knex } from "knex";
import { forgottenKeys } from "./forgotten-keys.ts";
import { shardSchema } from "./shard-schema.ts";

export interface ShardMigration {
  readonly name: string;
  up(knex: Knex): Promise<void>;
  down(knex: Knex): Promise<void>;
}

/** In the order in which they are applied; what is released is never changed. */
const shardMigrations: readonly ShardMigration[] = [shardSchema, forgottenKeys];

const migrationSource: Knex.MigrationSource<ShardMigration> = {
  getMigrations: () => Promise.resolve([...shardMigrations]),
  getMigrationName: (migration) => migration.name,
  getMigration: (migration) => Promise.resolve(migration),
};

const SCHEMA = "synod";
const config: Knex.MigratorConfig = {
  migrationSource,
  schemaName: SCHEMA,
  tableName: "migrations",
};
/** Any number that nobody else uses for advisory locks in this database; ours spells "synod" in ASCII. */
const LOCK_KEY = 0x73796e6f64;

/**
 * Brings the schema up to date. Participants that start at once wait for each other on an advisory lock; knex's own lock
 * is a row, which a process that was killed while it held it would leave locked for ever. Needs two connections.
 */
export async function migrateShard(knex: Knex): Promise<void> {
  await knex.transaction(async (trx) => {
    await trx.raw("select pg_advisory_xact_lock(?)", [LOCK_KEY]);
    await knex.raw("create schema if not exists ??", [SCHEMA]);
    await knex.migrate.forceFreeMigrationsLock(config);
    await knex.migrate.latest(config);
  });
}
