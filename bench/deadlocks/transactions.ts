/**
 * The transactions of the deadlock measurements: rows that they meet on, and statements that take them in an order that the
 * measurement chooses. The shards of a transaction in one request run in parallel, so a pause before a statement decides who comes first.
 */
import pg from "pg";
import { request } from "undici";
import { z } from "zod";

export interface Database {
  readonly shard: string;
  readonly url: string;
}

export interface Operation {
  readonly shard: string;
  readonly sql: string;
  readonly params: readonly (string | number)[];
  readonly expect?: { readonly rowCount: number };
}

/** `code`: "committed", or the code of the problem. */
export interface Answer {
  readonly code: string;
  readonly atMs: number;
}

const TABLE = `create table if not exists deadlock_rows (name text primary key, value bigint not null default 0)`;
const ADD_ROW = "insert into deadlock_rows (name) values ($1) on conflict do nothing";
const COMMITTED = "committed";
const OK = 200;
const CREATED = 201;
const Begun = z.object({ id: z.string() });
const Problem = z.object({ code: z.string() });

export async function openRows(
  databases: readonly Database[],
  names: readonly string[],
): Promise<void> {
  for (const { url } of databases) {
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    await client.query(TABLE);
    for (const name of names) await client.query(ADD_ROW, [name]);
    await client.end();
  }
}

export function take(shard: string, row: string): Operation {
  const sql = "update deadlock_rows set value = value + 1 where name = $1";
  return { shard, sql, params: [row], expect: { rowCount: 1 } };
}

/** Before the next operation of the same shard. */
export function pause(shard: string, ms: number): Operation {
  return { shard, sql: "select pg_sleep($1)", params: [ms / 1_000] };
}

/** Meets no row: the transaction aborts when it comes to this. */
export function fail(shard: string): Operation {
  return take(shard, "no such row");
}

/** `inLane`: in one request, and perhaps in one carrier with others, which then do not wait for each other. */
export type Kind = "oneShot" | "inLane" | "interactive";

/** Interactive ones run the operations one after the other, whatever their shards. */
export async function transact(
  url: string,
  operations: readonly Operation[],
  timeoutMs: number,
  kind: Kind = "oneShot",
): Promise<Answer> {
  const path = `${url}/v1/transactions`;
  const code =
    kind === "interactive"
      ? await interactive(path, operations, timeoutMs)
      : (await post(path, { operations, timeoutMs, lane: kind === "inLane" })).code;
  return { code, atMs: performance.now() };
}

async function interactive(
  url: string,
  operations: readonly Operation[],
  timeoutMs: number,
): Promise<string> {
  const begun = await post(`${url}/begin`, { timeoutMs });
  if (begun.code !== COMMITTED) return begun.code;
  const { id } = Begun.parse(begun.body);
  for (const [index, operation] of operations.entries()) {
    const { code } = await post(`${url}/${id}/statements`, { seq: index + 1, ...operation });
    if (code !== COMMITTED) return code;
  }
  return (await post(`${url}/${id}/commit`, {})).code;
}

/** `code`: as of an answer, where whatever succeeds is called committed. */
async function post(
  url: string,
  content: object,
): Promise<{ readonly code: string; readonly body: unknown }> {
  const response = await request(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(content),
  });
  const text = await response.body.text();
  // A starved server ends a connection whose request did not come in time with a bare 408.
  if (text === "") return { code: `http ${response.statusCode}`, body: undefined };
  const body: unknown = JSON.parse(text);
  const isGood = response.statusCode === OK || response.statusCode === CREATED;
  return { code: isGood ? COMMITTED : Problem.parse(body).code, body };
}
