/**
 * The demo's accounts: which there are, on which shard each lives, and how they come into the databases.
 */
import { createHash } from "node:crypto";
import knexPackage, { type Knex } from "knex";
import { demoMigrations, type DemoMigration } from "../migrations/demo-accounts.ts";

export interface Account {
  readonly id: string;
  readonly balance: number;
}

export interface ShardDatabase {
  readonly shard: string;
  readonly url: string;
}

const INSERT_BATCH = 1_000;

/** The shard that an account belongs to, by hash of its name. */
export function shardOf(accountId: string, shards: readonly string[]): string {
  const hash = createHash("sha256").update(accountId).digest().readUInt32BE(0);
  const shard = shards[hash % shards.length];
  if (shard === undefined) throw new Error("an account needs at least one shard to live on");
  return shard;
}

/** Creates the tables if they are missing and the accounts that are missing; what exists keeps its balance. */
export async function seedAccounts(
  database: ShardDatabase,
  accounts: readonly Account[],
): Promise<void> {
  const connection = knexPackage.knex({
    client: "pg",
    connection: database.url,
    pool: { min: 0, max: 1 },
  });
  try {
    const config = { migrationSource, tableName: "demo_migrations" };
    // Only one program seeds a database; a lock found here was left by one that was killed.
    await connection.migrate.forceFreeMigrationsLock(config);
    await connection.migrate.latest(config);
    for (let from = 0; from < accounts.length; from += INSERT_BATCH) {
      const rows = accounts
        .slice(from, from + INSERT_BATCH)
        .map(({ id, balance }) => ({ id, balance }));
      await connection("accounts").insert(rows).onConflict("id").ignore();
    }
  } finally {
    await connection.destroy();
  }
}

const migrationSource: Knex.MigrationSource<DemoMigration> = {
  getMigrations: () => Promise.resolve([...demoMigrations]),
  getMigrationName: (migration) => migration.name,
  getMigration: (migration) => Promise.resolve(migration),
};
