/**
 * The tables of the transfers demo, on every shard: accounts that the database keeps from going negative, and one
 * entry for each side of each transfer, from which the books are balanced at the end.
 */
import type { Knex } from "knex";

export interface DemoMigration {
  readonly name: string;
  up(knex: Knex): Promise<void>;
  down(knex: Knex): Promise<void>;
}

const createAccounts: DemoMigration = {
  name: "001-create-accounts",
  async up(knex) {
    await knex.schema.createTable("accounts", (table) => {
      table.text("id").primary();
      table.bigInteger("balance").notNullable();
      table.check("balance >= 0", {}, "accounts_balance_not_negative");
    });
    // transfer_id is not unique on purpose: a transfer applied twice must show in the books, not be prevented here.
    await knex.schema.createTable("transfer_entries", (table) => {
      table.specificType("id", "bigint generated always as identity").primary();
      table.uuid("transfer_id").notNullable();
      table.text("account_id").notNullable().references("accounts.id");
      table.bigInteger("amount").notNullable();
    });
  },
  async down(knex) {
    await knex.schema.dropTable("transfer_entries");
    await knex.schema.dropTable("accounts");
  },
};

/** In the order in which they are applied. */
export const demoMigrations: readonly DemoMigration[] = [createAccounts];
