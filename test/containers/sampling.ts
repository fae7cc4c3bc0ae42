/**
 * Looks at the shards and at who leads, from outside, again and again: what a branch in doubt is, only its database can say, and
 * only while somebody asks.
 */
import { Socket } from "node:net";
import { setTimeout } from "node:timers/promises";
import pg from "pg";
import type { Cluster, Database } from "./cluster.ts";
import type { Recording } from "./recording.ts";

const SHARD_INTERVAL_MS = 50;
const LEADER_INTERVAL_MS = 200;
/** A server that stands still is asked anew after that. */
const ANSWER_TIMEOUT_MS = 1_000;

const PREPARED = `
  select gid, transaction::text as xid,
         (extract(epoch from clock_timestamp() - prepared) * 1000)::float8 as "preparedForMs"
  from pg_prepared_xacts where database = current_database()`;

interface PreparedRow {
  readonly gid: string;
  readonly xid: string;
  readonly preparedForMs: number;
}

export interface Sampling {
  stop(): Promise<void>;
}

export function startSampling(cluster: Cluster, recording: Recording): Sampling {
  const end = new AbortController();
  const loops = [
    ...cluster.databases.map((database) => sampleShard(database, recording, end.signal)),
    sampleLeader(cluster, recording, end.signal),
  ];
  return {
    stop: async () => {
      end.abort();
      await Promise.all(loops);
    },
  };
}

async function sampleShard(
  { shard, url }: Database,
  recording: Recording,
  end: AbortSignal,
): Promise<void> {
  let connection: Connection | undefined;
  while (!end.aborted) {
    const askedAtMs = recording.nowMs();
    try {
      connection ??= await connect(url);
      const { rows } = await connection.client.query<PreparedRow>(PREPARED);
      const atMs = recording.nowMs();
      // The answer took its way: counted from the question on, no branch looks younger than it is.
      const branches = rows.map((row) => {
        return { ...row, preparedForMs: Math.max(0, row.preparedForMs) + atMs - askedAtMs };
      });
      recording.samples.push({ kind: "prepared", shard, atMs, branches });
    } catch {
      // Killed, frozen or cut off by a nemesis: that is what this sample says.
      connection?.socket.destroy();
      connection = undefined;
      recording.samples.push({ kind: "unreachable", shard, atMs: recording.nowMs() });
    }
    await setTimeout(SHARD_INTERVAL_MS);
  }
  connection?.socket.destroy();
}

interface Connection {
  readonly client: pg.Client;
  /** Ours to break: a server that stands still never ends a connection politely. */
  readonly socket: Socket;
}

async function connect(url: string): Promise<Connection> {
  const socket = new Socket();
  const client = new pg.Client({
    ...{ connectionString: url, stream: () => socket },
    ...{ connectionTimeoutMillis: ANSWER_TIMEOUT_MS, query_timeout: ANSWER_TIMEOUT_MS },
  });
  // A query that fails says it too.
  client.on("error", () => undefined);
  try {
    await client.connect();
  } catch (error) {
    socket.destroy();
    throw error;
  }
  return { client, socket };
}

async function sampleLeader(
  cluster: Cluster,
  recording: Recording,
  end: AbortSignal,
): Promise<void> {
  while (!end.aborted) {
    const leader = await cluster.leaderNow();
    recording.leaders.push({ atMs: recording.nowMs(), leader: leader?.name ?? null });
    await setTimeout(LEADER_INTERVAL_MS);
  }
}
