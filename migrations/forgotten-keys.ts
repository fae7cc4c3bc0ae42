/**
 * When the newest receipt with an idempotency key was written among those that are deleted: a key that carries an older time
 * may have been used, and must not be run again.
 */
import type { Knex } from "knex";

export const forgottenKeys = {
  name: "002-forgotten-keys",

  async up(knex: Knex): Promise<void> {
    await knex.schema.withSchema("synod").alterTable("identity", (table) => {
      table.timestamp("keys_forgotten_up_to");
    });
  },

  async down(knex: Knex): Promise<void> {
    await knex.schema.withSchema("synod").alterTable("identity", (table) => {
      table.dropColumn("keys_forgotten_up_to");
    });
  },
};
