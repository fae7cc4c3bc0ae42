/**
 * The schema `synod` that every shard's database holds, as a static ordered list: nothing is read from disk at run time,
 * so a bundled or copied program migrates exactly what it was built with.
 */
import type { Knex } from "knex";
import { shardSchema } from "./shard-schema.ts";

export interface ShardMigration {
  readonly name: string;
  up(knex: Knex): Promise<void>;
  down(knex: Knex): Promise<void>;
}

/** In the order in which they are applied; what is released is never changed. */
const shardMigrations: readonly ShardMigration[] = [shardSchema];

const migrationSource: Knex.MigrationSource<ShardMigration> = {
  getMigrations: () => Promise.resolve([...shardMigrations]),
  getMigrationName: (migration) => migration.name,
  getMigration: (migration) => Promise.resolve(migration),
};

/** Brings the schema up to date. Two participants that start at once wait for each other (knex's lock). */
export async function migrateShard(knex: Knex): Promise<void> {
  await knex.raw("create schema if not exists synod");
  await knex.migrate.latest({
    migrationSource,
    schemaName: "synod",
    tableName: "migrations",
  });
}
