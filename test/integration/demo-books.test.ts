import { readFileSync } from "node:fs";
import { join } from "node:path";
import pg from "pg";
import { type Account, seedAccounts, type ShardDatabase, shardOf } from "../../demo/accounts.ts";
import { readBooks } from "../../demo/transfers/audit.ts";
import { balanceBooks, type Books, type Finding } from "../../demo/transfers/books.ts";
import type { SentTransfer } from "../../demo/transfers/tally.ts";
import type { TransferOutcome } from "../../demo/transfers/transfer.ts";
import { createTestDatabase } from "../support/postgres.ts";

const COMPOSE = join(import.meta.dirname, "..", "..", "demo", "compose");
const ALICE: Account = { id: "alice", balance: 100 };
const BOB: Account = { id: "bob", balance: 50 };
const OPENING = new Map([ALICE, BOB].map(({ id, balance }) => [id, balance]));
const TRANSFER_ID = "01890000-0000-7000-8000-000000000001";

interface Bank {
  readonly databases: readonly [ShardDatabase, ShardDatabase];
  readonly sent: Map<string, SentTransfer>;
}

/** Alice on s1, Bob on s2; one transfer of 10 from her to him was sent, with the outcome given. */
async function openBank(outcome: TransferOutcome): Promise<Bank> {
  const s1 = { shard: "s1", url: await createTestDatabase() };
  const s2 = { shard: "s2", url: await createTestDatabase() };
  await Promise.all([seedAccounts(s1, [ALICE]), seedAccounts(s2, [BOB])]);
  const transfer = {
    id: TRANSFER_ID,
    from: { shard: "s1", accountId: "alice" },
    to: { shard: "s2", accountId: "bob" },
    amount: 10,
  };
  return { databases: [s1, s2], sent: new Map([[TRANSFER_ID, { transfer, outcome }]]) };
}

async function execute(database: ShardDatabase, ...statements: string[]): Promise<void> {
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  try {
    for (const statement of statements) await client.query(statement);
  } finally {
    await client.end();
  }
}

async function post(database: ShardDatabase, account: string, amount: number): Promise<void> {
  await execute(
    database,
    `update accounts set balance = balance + ${amount} where id = '${account}'`,
    `insert into transfer_entries (transfer_id, account_id, amount) values ('${TRANSFER_ID}', '${account}', ${amount})`,
  );
}

async function audit({ databases, sent }: Bank): Promise<Books> {
  return balanceBooks(await readBooks(databases), sent, OPENING);
}

function findingsOf(books: Books): readonly Finding[] {
  const kinds = Object.keys(books.findings) as Finding[];
  return kinds.filter((kind) => books.findings[kind].length > 0);
}

test("the books of a committed transfer balance", async () => {
  const bank = await openBank({ kind: "committed" });
  await post(bank.databases[0], "alice", -10);
  await post(bank.databases[1], "bob", 10);
  expect(await audit(bank)).toMatchObject({
    sumBefore: 150,
    sumAfter: 150,
    transfers: 1,
    balance: true,
  });
});

test("the books of an aborted transfer that left no trace balance", async () => {
  const books = await audit(await openBank({ kind: "aborted", code: "lock-timeout" }));
  expect(books).toMatchObject({ transfers: 0, balance: true });
});

test("an acknowledged transfer that is missing is found", async () => {
  const books = await audit(await openBank({ kind: "committed" }));
  expect(findingsOf(books)).toEqual(["lost"]);
  expect(books.balance).toBe(false);
});

test("a transfer with one side only is found, and so is the money that vanished", async () => {
  const bank = await openBank({ kind: "committed" });
  await post(bank.databases[0], "alice", -10);
  const books = await audit(bank);
  expect(findingsOf(books)).toEqual(["half"]);
  expect(books).toMatchObject({ sumBefore: 150, sumAfter: 140, transfers: 0, balance: false });
});

test("a transfer applied twice is found", async () => {
  const bank = await openBank({ kind: "committed" });
  for (let time = 0; time < 2; time += 1) {
    await post(bank.databases[0], "alice", -10);
    await post(bank.databases[1], "bob", 10);
  }
  const books = await audit(bank);
  expect(findingsOf(books)).toEqual(["duplicated"]);
  expect(books.balance).toBe(false);
});

test("a transfer reported aborted, but present, is found", async () => {
  const bank = await openBank({ kind: "aborted", code: "lock-timeout" });
  await post(bank.databases[0], "alice", -10);
  await post(bank.databases[1], "bob", 10);
  const books = await audit(bank);
  expect(findingsOf(books)).toEqual(["undead"]);
  expect(books.balance).toBe(false);
});

test("a transfer of another amount than asked for is found", async () => {
  const bank = await openBank({ kind: "committed" });
  await post(bank.databases[0], "alice", -11);
  await post(bank.databases[1], "bob", 11);
  expect(findingsOf(await audit(bank))).toEqual(["half"]);
});

test("a transfer without a definite outcome unbalances the books, present or not", async () => {
  const books = await audit(await openBank({ kind: "unresolved", reason: "timeout" }));
  expect(findingsOf(books)).toEqual(["unresolved"]);
  expect(books.balance).toBe(false);
});

test("a transfer that nobody sent is found", async () => {
  const bank = await openBank({ kind: "committed" });
  bank.sent.clear();
  await post(bank.databases[0], "alice", -10);
  await post(bank.databases[1], "bob", 10);
  expect(findingsOf(await audit(bank))).toEqual(["strangers"]);
});

test("a balance that differs from its entries is found though the sum is right", async () => {
  const bank = await openBank({ kind: "aborted", code: "lock-timeout" });
  await execute(bank.databases[0], "update accounts set balance = balance - 1");
  await execute(bank.databases[1], "update accounts set balance = balance + 1");
  const books = await audit(bank);
  expect(books).toMatchObject({ sumBefore: 150, sumAfter: 150, balance: false });
  expect(books.findings.misposted).toEqual(["alice", "bob"]);
});

test("a prepared branch that nobody finishes is found, one that is finished in time is not", async () => {
  const bank = await openBank({ kind: "aborted", code: "lock-timeout" });
  const [s1] = bank.databases;
  const prepare = "update accounts set balance = balance";
  await execute(s1, "begin", prepare, "prepare transaction 'left'");
  const waiting = audit(bank);
  await execute(s1, "rollback prepared 'left'");
  expect(findingsOf(await waiting)).toEqual([]);
  await execute(s1, "begin", prepare, "prepare transaction 'left'");
  const books = balanceBooks(await readBooks(bank.databases, 200), bank.sent, OPENING);
  await execute(s1, "rollback prepared 'left'");
  expect(books.findings.prepared).toEqual(["s1: left"]);
  expect(books.balance).toBe(false);
});

test("the database refuses a negative balance, and seeding again changes nothing", async () => {
  const bank = await openBank({ kind: "committed" });
  await expect(post(bank.databases[0], "alice", -101)).rejects.toThrow(
    /accounts_balance_not_negative/,
  );
  await execute(bank.databases[0], "update accounts set balance = 1");
  await seedAccounts(bank.databases[0], [ALICE]);
  expect((await audit(bank)).sumAfter).toBe(51);
});

test("a lock left by a killed seeding does not stop the next one", async () => {
  const bank = await openBank({ kind: "committed" });
  await execute(bank.databases[0], "update demo_migrations_lock set is_locked = 1");
  await expect(seedAccounts(bank.databases[0], [ALICE])).resolves.toBeUndefined();
});

test("accounts spread over all shards", () => {
  const shards = ["s1", "s2", "s3"];
  const homes = Array.from({ length: 300 }, (_, index) => shardOf(`account-${index}`, shards));
  for (const shard of shards) {
    expect(homes.filter((home) => home === shard).length).toBeGreaterThan(60);
  }
});

/** Columns, and constraints by their definitions. */
const TABLES = `
  select table_name, column_name, data_type, is_nullable, is_identity
  from information_schema.columns where table_name in ('accounts', 'transfer_entries')
  union all
  select conrelid::regclass::text, conname, pg_get_constraintdef(oid), contype::text, ''
  from pg_constraint where conrelid::regclass::text in ('accounts', 'transfer_entries')
  order by 1, 2, 3`;

async function describeTables(url: string): Promise<readonly unknown[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const { rows } = await client.query<Record<string, unknown>>(TABLES);
  await client.end();
  return rows;
}

test("databases of containers get the tables that the migration makes", async () => {
  const [migrated, mounted] = [await createTestDatabase(), await createTestDatabase()];
  await seedAccounts({ shard: "s1", url: migrated }, []);
  const script = readFileSync(join(COMPOSE, "shard.sql"), "utf8");
  const tables = script.match(/^create table [^;]*;/gm) ?? [];
  await execute({ shard: "s2", url: mounted }, ...tables);
  const made = await describeTables(migrated);
  expect(made.length).toBeGreaterThan(8);
  expect(await describeTables(mounted)).toEqual(made);
});
