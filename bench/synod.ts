/**
 * The same transactions over REST, with an idempotency key each, over kept connections. `leader`: every client asks the
 * leader, as the client library does once it has been told who leads. `roundRobin`: it asks the next node each
 * time, as behind a load balancer that knows nothing; followers then forward.
 */
import { randomUUID } from "node:crypto";
import { setTimeout } from "node:timers/promises";
import { Pool } from "undici";
import { z } from "zod";
import { CREDIT, DEBIT, ownAccount } from "./accounts.ts";
import type { Client } from "./load.ts";

export interface SynodClients {
  readonly transfers: readonly Client[];
  readonly additions: readonly Client[];
  close(): Promise<void>;
}

const RESOLVE_DEADLINE_MS = 30_000;
const RETRY_PAUSE_MS = 20;
const OK = 200;

const Problem = z.object({ code: z.string(), outcome: z.string(), retryable: z.boolean() });

export function openSynodClients(
  urls: readonly string[],
  shards: readonly [string, string],
  count: number,
): SynodClients {
  const pools = urls.map((url) => new Pool(url, { connections: count }));
  let turn = 0;
  const nextPool = (): Pool => {
    turn = (turn + 1) % pools.length;
    const pool = pools[turn];
    if (pool === undefined) throw new Error("there is a coordinator to ask");
    return pool;
  };
  const client = (body: (client: number) => string) => (_: unknown, index: number) => {
    return { transact: () => transact(nextPool, body(index)) };
  };
  return {
    transfers: Array.from(
      { length: count },
      client((index) => transferBody(shards, index, count)),
    ),
    additions: Array.from(
      { length: count },
      client((index) => additionBody(shards, index, count)),
    ),
    close: async () => {
      await Promise.all(pools.map((pool) => pool.close()));
    },
  };
}

function transferBody(shards: readonly [string, string], client: number, count: number): string {
  const [one, other] = shards;
  const [payer, payee] = Math.random() < 0.5 ? [one, other] : [other, one];
  return JSON.stringify({
    operations: [
      operation(payer, DEBIT, ownAccount(payer, client, count)),
      operation(payee, CREDIT, ownAccount(payee, client, count)),
    ],
  });
}

function additionBody(shards: readonly [string, string], client: number, count: number): string {
  const shard = Math.random() < 0.5 ? shards[0] : shards[1];
  return JSON.stringify({
    operations: [operation(shard, CREDIT, ownAccount(shard, client, count))],
  });
}

function operation(shard: string, sql: string, accountId: string): object {
  return { shard, sql, params: [1, accountId], expect: { rowCount: 1 } };
}

/** Asks again under the same key until the outcome is known. */
async function transact(nextPool: () => Pool, body: string): Promise<"committed" | "aborted"> {
  const headers = { "content-type": "application/json", "idempotency-key": randomUUID() };
  const startedMs = performance.now();
  for (;;) {
    const answer = await ask(nextPool(), headers, body);
    if (answer !== "again") return answer;
    if (performance.now() - startedMs > RESOLVE_DEADLINE_MS) {
      throw new Error(`a transaction has no outcome after ${RESOLVE_DEADLINE_MS} ms`);
    }
    await setTimeout(RETRY_PAUSE_MS);
  }
}

async function ask(
  pool: Pool,
  headers: Record<string, string>,
  body: string,
): Promise<"committed" | "aborted" | "again"> {
  let status: number;
  let text: string;
  try {
    const response = await pool.request({
      method: "POST",
      path: "/v1/transactions",
      headers,
      body,
    });
    status = response.statusCode;
    text = await response.body.text();
  } catch {
    // The connection was lost: what became of the transaction is asked under the same key.
    return "again";
  }
  if (status === OK) return "committed";
  const { code, outcome, retryable } = Problem.parse(JSON.parse(text));
  if (outcome === "aborted") return "aborted";
  if (retryable) return "again";
  throw new Error(`the cluster refuses a transaction of the benchmark: ${code}`);
}
