/**
 * The opponent: a program that speaks to Postgres itself, as fast as it can be done by the book. Two-phase commit without
 * a decision log: if it dies between the two phases, its branches stay prepared for ever.
 *
 * Each client has one warm connection a shard; statements are prepared once; all messages of a phase leave in one
 * write and both shards work at the same time.
 */
import type { Writable } from "node:stream";
import pg from "pg";
import type { ShardDatabase } from "../demo/accounts.ts";
import { CREDIT, DEBIT, ownAccount } from "./accounts.ts";
import type { Client } from "./load.ts";

export interface BareClients {
  readonly transfers: readonly Client[];
  readonly additions: readonly Client[];
  close(): Promise<void>;
}

interface Update {
  readonly name: "debit" | "credit";
  readonly accountId: string;
}

let lastTransaction = 0;

export async function openBareClients(
  databases: readonly [ShardDatabase, ShardDatabase],
  count: number,
): Promise<BareClients> {
  const pairs = await Promise.all(
    Array.from({ length: count }, () =>
      Promise.all(databases.map((database) => BareShard.open(database))),
    ),
  );
  const both = pairs.map(([one, other], client) => {
    if (one === undefined || other === undefined) throw new Error("a pair is two connections");
    return { one, other, client };
  });
  return {
    transfers: both.map(({ one, other, client }) => ({
      transact: () => {
        const [payer, payee] = Math.random() < 0.5 ? [one, other] : [other, one];
        return transfer(payer, payee, client, count);
      },
    })),
    additions: both.map(({ one, other, client }) => ({
      transact: () => (Math.random() < 0.5 ? one : other).addOne(client, count),
    })),
    close: async () => {
      await Promise.all(pairs.flat().map((shard) => shard.close()));
    },
  };
}

async function transfer(
  payer: BareShard,
  payee: BareShard,
  client: number,
  clients: number,
): Promise<"committed" | "aborted"> {
  lastTransaction += 1;
  const gid = `bench_${lastTransaction}`;
  const votes = await Promise.all([
    payer.prepare(gid, { name: "debit", accountId: ownAccount(payer.name, client, clients) }),
    payee.prepare(gid, { name: "credit", accountId: ownAccount(payee.name, client, clients) }),
  ]);
  const commit = votes.every((vote) => vote === "yes");
  await Promise.all([
    votes[0] !== "rolledBack" && payer.finish(gid, commit),
    votes[1] !== "rolledBack" && payee.finish(gid, commit),
  ]);
  return commit ? "committed" : "aborted";
}

class BareShard {
  readonly name: string;
  readonly #client: pg.Client;

  static async open({ shard, url }: ShardDatabase): Promise<BareShard> {
    const client = new pg.Client({ connectionString: url, pipeline: true });
    await client.connect();
    const bare = new BareShard(shard, client);
    await client.query("begin");
    await Promise.all([bare.#update("debit", "nobody"), bare.#update("credit", "nobody")]);
    await client.query("rollback");
    return bare;
  }

  private constructor(name: string, client: pg.Client) {
    this.name = name;
    this.#client = client;
  }

  /** `no`: prepared, but the update found no row. */
  async prepare(gid: string, { name, accountId }: Update): Promise<"yes" | "no" | "rolledBack"> {
    const [, updated, prepared] = await this.#together(() => [
      this.#client.query("begin"),
      this.#update(name, accountId),
      this.#client.query(`prepare transaction '${gid}_${this.name}'`),
    ]);
    if (prepared?.command !== "PREPARE") return "rolledBack";
    return updated?.rowCount === 1 ? "yes" : "no";
  }

  async finish(gid: string, commit: boolean): Promise<void> {
    const verb = commit ? "commit" : "rollback";
    await this.#client.query(`${verb} prepared '${gid}_${this.name}'`);
  }

  async addOne(client: number, clients: number): Promise<"committed" | "aborted"> {
    const [, updated, committed] = await this.#together(() => [
      this.#client.query("begin"),
      this.#update("credit", ownAccount(this.name, client, clients)),
      this.#client.query("commit"),
    ]);
    return updated?.rowCount === 1 && committed?.command === "COMMIT" ? "committed" : "aborted";
  }

  async close(): Promise<void> {
    await this.#client.end();
  }

  #update(name: Update["name"], accountId: string): Promise<pg.QueryResult> {
    const text = name === "debit" ? DEBIT : CREDIT;
    return this.#client.query({ name, text, values: [1, accountId] });
  }

  /** In one write to the socket. */
  #together(send: () => Promise<pg.QueryResult>[]): Promise<pg.QueryResult[]> {
    const { stream } = (this.#client as unknown as { connection: { stream: Writable } }).connection;
    stream.cork();
    const replies = send();
    stream.uncork();
    return Promise.all(replies);
  }
}
