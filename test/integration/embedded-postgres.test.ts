import { createTestDatabase } from "../support/postgres.ts";
import pg from "pg";
test("a server can prepare a transaction", async () => {
  const client = new pg.Client({ connectionString: await createTestDatabase() });
  await client.connect();
  await client.query("begin");
  await client.query("create table x(a int)");
  expect((await client.query("prepare transaction 'a'")).command).toBe("PREPARE");
  await client.end();
});
