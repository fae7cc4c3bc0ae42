/**
 * The same transactions over REST, with an idempotency key each, over kept connections. `leader`: every client asks the
 * node that the last answer named as the leader (`Synod-Leader`), as a client library does. `any`: it asks the next node
 * each time, as behind a load balancer that knows nothing; followers then forward.
 */
import { randomUUID } from "node:crypto";
import { setTimeout } from "node:timers/promises";
import { Pool } from "undici";
import { z } from "zod";
import { CREDIT, DEBIT, ownAccount } from "./accounts.ts";
import type { Client } from "./load.ts";

export interface SynodClients {
  readonly transfers: readonly Client[];
  /** Each in Postgres transactions of its own. */
  readonly transfersAlone: readonly Client[];
  readonly additions: readonly Client[];
  close(): Promise<void>;
}

const RESOLVE_DEADLINE_MS = 30_000;
const RETRY_PAUSE_MS = 20;
const OK = 200;

const Problem = z.object({ code: z.string(), outcome: z.string(), retryable: z.boolean() });

/** The coordinators as one client program sees them. */
class Nodes {
  readonly #pools: ReadonlyMap<string, Pool>;
  readonly #urls: readonly string[];
  readonly #followsLeader: boolean;
  #turn = 0;

  constructor(urls: readonly string[], followsLeader: boolean, connections: number) {
    this.#urls = urls;
    this.#followsLeader = followsLeader;
    this.#pools = new Map(urls.map((url) => [url, new Pool(url, { connections })]));
  }

  /** After a lost connection another node is asked in any case. */
  next(afterLoss: boolean): Pool {
    if (afterLoss || !this.#followsLeader) this.#turn = (this.#turn + 1) % this.#urls.length;
    const pool = this.#pools.get(this.#urls[this.#turn] ?? "");
    if (pool === undefined) throw new Error("there is a coordinator to ask");
    return pool;
  }

  heard(leader: unknown): void {
    if (!this.#followsLeader || typeof leader !== "string") return;
    const turn = this.#urls.findIndex((url) => leader.endsWith(`url="${url}"`));
    if (turn >= 0) this.#turn = turn;
  }

  async close(): Promise<void> {
    await Promise.all([...this.#pools.values()].map((pool) => pool.close()));
  }
}

export function openSynodClients(
  urls: readonly string[],
  asks: "leader" | "any",
  shards: readonly [string, string],
  count: number,
): SynodClients {
  const nodes = new Nodes(urls, asks === "leader", count);
  const client = (body: (client: number) => string) => (_: unknown, index: number) => {
    return { transact: () => transact(nodes, body(index)) };
  };
  return {
    transfers: Array.from(
      { length: count },
      client((index) => transferBody(shards, index, count)),
    ),
    transfersAlone: Array.from(
      { length: count },
      client((index) => transferBody(shards, index, count, { lane: false })),
    ),
    additions: Array.from(
      { length: count },
      client((index) => additionBody(shards, index, count)),
    ),
    close: () => nodes.close(),
  };
}

function transferBody(
  shards: readonly [string, string],
  client: number,
  count: number,
  more: { readonly lane?: false } = {},
): string {
  const [one, other] = shards;
  const [payer, payee] = Math.random() < 0.5 ? [one, other] : [other, one];
  return JSON.stringify({
    operations: [
      operation(payer, DEBIT, ownAccount(payer, client, count)),
      operation(payee, CREDIT, ownAccount(payee, client, count)),
    ],
    ...more,
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
async function transact(nodes: Nodes, body: string): Promise<"committed" | "aborted"> {
  const headers = { "content-type": "application/json", "idempotency-key": randomUUID() };
  const startedMs = performance.now();
  for (let answer = await ask(nodes, false, headers, body); ;) {
    if (answer === "committed" || answer === "aborted") return answer;
    if (performance.now() - startedMs > RESOLVE_DEADLINE_MS) {
      throw new Error(`a transaction has no outcome after ${RESOLVE_DEADLINE_MS} ms`);
    }
    await setTimeout(RETRY_PAUSE_MS);
    answer = await ask(nodes, answer === "lost", headers, body);
  }
}

async function ask(
  nodes: Nodes,
  afterLoss: boolean,
  headers: Record<string, string>,
  body: string,
): Promise<"committed" | "aborted" | "again" | "lost"> {
  let status: number;
  let text: string;
  try {
    const request = { method: "POST", path: "/v1/transactions", headers, body } as const;
    const response = await nodes.next(afterLoss).request(request);
    status = response.statusCode;
    nodes.heard(response.headers["synod-leader"]);
    text = await response.body.text();
  } catch {
    // What became of the transaction is asked under the same key.
    return "lost";
  }
  if (status === OK) return "committed";
  const { code, outcome, retryable } = Problem.parse(JSON.parse(text));
  if (outcome === "aborted") return "aborted";
  if (retryable) return "again";
  throw new Error(`the cluster refuses a transaction of the benchmark: ${code}`);
}
