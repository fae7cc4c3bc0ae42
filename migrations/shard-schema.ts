/**
 * `identity`: whose database this is (one row), and how far receipts have been deleted.
 * `receipts`: outcomes of one-phase transactions, written by the very transaction they speak of. A row without results
 * is a tombstone: the transaction never committed, and the primary key keeps it from ever doing so.
 */
import type { Knex } from "knex";

export const shardSchema = {
  name: "001-shard-schema",

  async up(knex: Knex): Promise<void> {
    await knex.schema.withSchema("synod").createTable("identity", (table) => {
      table.boolean("only_row").primary().defaultTo(true);
      table.text("cluster_id").notNullable();
      table.text("shard_id").notNullable();
      // Receipts of transactions up to this place (ballot, sequence) may have been deleted.
      table.bigInteger("forgotten_ballot").notNullable().defaultTo(0);
      table.bigInteger("forgotten_sequence").notNullable().defaultTo(0);
      table.check("only_row", {}, "identity_has_one_row");
    });
    await knex.schema.withSchema("synod").createTable("receipts", (table) => {
      table.text("transaction_id").primary();
      table.text("idempotency_key");
      table.text("fingerprint");
      table.text("results");
      table.timestamp("committed_at").notNullable().defaultTo(knex.raw("clock_timestamp()"));
      table.index("committed_at", "receipts_committed_at");
    });
    await knex.raw(
      `create unique index receipts_idempotency_key on synod.receipts (idempotency_key)
       where idempotency_key is not null`,
    );
  },

  async down(knex: Knex): Promise<void> {
    await knex.schema.withSchema("synod").dropTable("receipts");
    await knex.schema.withSchema("synod").dropTable("identity");
  },
};
