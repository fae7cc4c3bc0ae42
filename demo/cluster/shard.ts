/**
 * The Postgres server of one shard of a local cluster, which can be killed and started again on the same port.
 */
import { join } from "node:path";
import {
  createDatabase,
  type EmbeddedPostgres,
  startEmbeddedPostgres,
} from "../embedded-postgres.ts";

const DATABASE = "synod";

export interface ShardServer {
  readonly name: string;
  /** Of the shard's database. */
  readonly url: string;
  /** Of the postmaster in its present or last run. */
  readonly pid: number;
  readonly dataDir: string;
  readonly logFile: string;
  isRunning(): boolean;
  /** SIGKILL resolves when the server has ended, other signals when they are sent. */
  kill(signal: NodeJS.Signals): Promise<void>;
  restart(): Promise<void>;
  stop(): Promise<void>;
}

export function shardDataDirectory(clusterDirectory: string, shard: string): string {
  return join(clusterDirectory, shard, "postgres");
}

export async function startShardServer(
  clusterDirectory: string,
  shard: string,
  port: number | undefined,
): Promise<ShardServer> {
  const dataDir = shardDataDirectory(clusterDirectory, shard);
  let server: EmbeddedPostgres = await startEmbeddedPostgres({
    dataDir,
    ...(port === undefined ? {} : { port }),
  });
  const url = await createDatabase(server, DATABASE);
  return {
    name: `Postgres of ${shard}`,
    url,
    get pid() {
      return server.pid;
    },
    dataDir: server.dataDir,
    logFile: server.logFile,
    isRunning: () => server.isRunning(),
    kill: async (signal) => {
      await server.signal(signal);
      if (signal === "SIGKILL") await server.exited;
    },
    restart: async () => {
      await server.stop();
      server = await startEmbeddedPostgres({ dataDir, port: server.port });
    },
    stop: () => server.stop(),
  };
}
