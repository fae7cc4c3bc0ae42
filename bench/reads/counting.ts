/** Clients that count the money of all shards, again and again, at one coordinator after the other. */
import { Agent } from "node:http";
import { setTimeout } from "node:timers/promises";
import axios from "axios";
import { z } from "zod";
import { createClient, SynodClientError, type BeginOptions, type Synod } from "../../client/sdk.ts";
import { quantile } from "../load.ts";

export interface CountingOptions {
  readonly urls: readonly string[];
  readonly shards: readonly string[];
  readonly expected: bigint;
  readonly clients: number;
  readonly untilMs: number;
  readonly way: Way;
}

/** In one request, or shard by shard in an interactive transaction of that isolation. */
export type Way = "/v1/reads" | "/v1/transactions" | "snapshot" | "repeatable read";

export interface Counts {
  readonly reads: number;
  /** Saw another sum than there is: half of some transaction. */
  readonly fractured: number;
  /** Got no results: no leader, a participant that stands still, a deadline. */
  readonly failed: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

const REQUEST_TIMEOUT_MS = 10_000;
const READ_TIMEOUT_MS = 5_000;
const PAUSE_AFTER_FAILURE_MS = 50;
const SUM = "select sum(balance) as sum from accounts";
const OK = 200;

const Answer = z.object({
  results: z.array(z.object({ rows: z.tuple([z.object({ sum: z.string() })]) })),
});

export async function count(options: CountingOptions): Promise<Counts> {
  const { urls, way, shards } = options;
  const agent = new Agent({ keepAlive: true });
  const synods = urls.map((url) => createClient({ endpoints: [url] }));
  const countOnce = (turn: number): Promise<bigint | undefined> => {
    const [url = "", synod] = [urls[turn % urls.length], synods[turn % urls.length]];
    if (way === "/v1/reads" || way === "/v1/transactions" || synod === undefined) {
      return countInOneRequest(agent, url + way, shards);
    }
    return countStepByStep(synod, shards, way);
  };
  const latencies: number[] = [];
  const seen = { fractured: 0, failed: 0 };
  const clients = Array.from({ length: options.clients }, async (_, index) => {
    for (let turn = index; performance.now() < options.untilMs; turn += 1) {
      const fromMs = performance.now();
      const sum = await countOnce(turn);
      if (sum === undefined) {
        seen.failed += 1;
        await setTimeout(PAUSE_AFTER_FAILURE_MS);
        continue;
      }
      latencies.push(performance.now() - fromMs);
      if (sum !== options.expected) seen.fractured += 1;
    }
  });
  await Promise.all(clients);
  agent.destroy();
  for (const synod of synods) synod.close();
  const ascending = Float64Array.from(latencies).sort();
  return {
    ...{ reads: latencies.length, ...seen },
    ...{ p50Ms: quantile(ascending, 0.5), p99Ms: quantile(ascending, 0.99) },
  };
}

/** Undefined when there is no answer. */
async function countInOneRequest(
  agent: Agent,
  url: string,
  shards: readonly string[],
): Promise<bigint | undefined> {
  const operations = shards.map((shard) => ({ shard, sql: SUM, params: [] }));
  try {
    const { status, data } = await axios.post<unknown>(
      url,
      { operations, timeoutMs: READ_TIMEOUT_MS },
      {
        ...{ httpAgent: agent, timeout: REQUEST_TIMEOUT_MS, maxRedirects: 0, proxy: false },
        validateStatus: () => true,
      },
    );
    if (status !== OK) return undefined;
    return Answer.parse(data).results.reduce((sum, { rows: [row] }) => sum + BigInt(row.sum), 0n);
  } catch (error) {
    if (axios.isAxiosError(error)) return undefined;
    throw error;
  }
}

/** As `countInOneRequest`. */
async function countStepByStep(
  synod: Synod,
  shards: readonly string[],
  isolation: "snapshot" | "repeatable read",
): Promise<bigint | undefined> {
  const options: BeginOptions = {
    ...{ isolation, maxRuns: 1, deadlineMs: READ_TIMEOUT_MS },
    ...(isolation === "snapshot" && { shards }),
  };
  try {
    return await synod.begin(async (tx) => {
      let total = 0n;
      for (const shard of shards) {
        const { rows } = await tx.query<{ readonly sum: string }>(shard, SUM);
        total += BigInt(rows[0]?.sum ?? 0);
      }
      return total;
    }, options);
  } catch (error) {
    if (error instanceof SynodClientError) return undefined;
    throw error;
  }
}
