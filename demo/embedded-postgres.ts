/**
 * Real Postgres servers without Docker and without an installed Postgres: the binaries come in an npm package.
 *
 * A server listens on 127.0.0.1 only, with fsync on, prepared transactions allowed and a random superuser
 * password (it is in `url`). It never outlives this program: see processes/keeper.ts. Works as root (the server
 * then runs as another user, see postgres/server-user.ts and postgres/data-directory.ts for what follows).
 */
import { closeSync, openSync, statSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import pg from "pg";
import { findBinaries } from "./postgres/binaries.ts";
import { awaitAnswer, urlOf } from "./postgres/connection.ts";
import { give, identity, prepareDataDirectory } from "./postgres/data-directory.ts";
import type { DataDirectory } from "./postgres/data-directory.ts";
import { findServerUser, type ServerUser } from "./postgres/server-user.ts";
import { logTail } from "./log-tail.ts";
import { freePort, LOOPBACK } from "./ports.ts";
import type { ProcessExit, ProcessSpec, StopStep } from "./processes/keeper-protocol.ts";
import { startProcess, type SupervisedProcess } from "./processes/supervisor.ts";

export { removeDataDirectory } from "./postgres/data-directory.ts";

export interface EmbeddedPostgresOptions {
  /** Made if missing; a database found there is reused. */
  readonly dataDir: string;
  /** A free one by default. */
  readonly port?: number;
  /** Server settings, over the defaults max_connections = 200 and max_prepared_transactions = 200. */
  readonly settings?: Readonly<Record<string, string | number>>;
  /** Only for a new data directory; default `synod`. */
  readonly superuser?: string;
}

/** `fast`: roll back what runs, checkpoint, end. `immediate`: end at once, recover at the next start. */
type StopMode = "fast" | "immediate";

export interface EmbeddedPostgres {
  /** Of the database `postgres`, as the superuser, password included. */
  readonly url: string;
  readonly host: string;
  readonly port: number;
  /** Of the postmaster. */
  readonly pid: number;
  /** Where the data really is. */
  readonly dataDir: string;
  readonly logFile: string;
  readonly exited: Promise<ProcessExit>;
  isRunning(): boolean;
  /** The url of another database of this server. */
  databaseUrl(database: string): string;
  signal(signal: NodeJS.Signals): Promise<void>;
  /** Resolves when the server has ended; at once if it already had. */
  stop(mode?: StopMode): Promise<void>;
}

const DEFAULT_SETTINGS = {
  max_connections: 200,
  max_prepared_transactions: 200,
  fsync: "on",
  unix_socket_directories: "",
  log_min_messages: "warning",
  log_line_prefix: "%m [%p] ",
};
const STOP_GRACE_MS = 10_000;
const KILL: StopStep = { signal: "SIGKILL", graceMs: 0 };
const IMMEDIATE: readonly StopStep[] = [{ signal: "SIGQUIT", graceMs: STOP_GRACE_MS }, KILL];
const FAST: readonly StopStep[] = [{ signal: "SIGINT", graceMs: STOP_GRACE_MS }, ...IMMEDIATE];
const START_ATTEMPTS = 20;
const START_INTERVAL_MS = 250;

/** Resolves when the server answers. Throws with the end of its log when it does not start. */
export async function startEmbeddedPostgres(
  options: EmbeddedPostgresOptions,
): Promise<EmbeddedPostgres> {
  const user = findServerUser();
  const binaries = findBinaries(user);
  const superuser = options.superuser ?? "synod";
  const data = await prepareDataDirectory(options.dataDir, binaries, user, superuser);
  const settings = { ...DEFAULT_SETTINGS, ...options.settings };
  for (let attempt = 1; ; attempt += 1) {
    const port = options.port ?? (await freePort());
    const run = await startServer(binaries.postgres, data, user, { ...settings, port });
    const silence = await awaitAnswer(run.process, data, port);
    if (silence === undefined) return describe(run, data, port);
    await run.process.stop(FAST);
    const failure = `${silence}\n${logTail(run.logFile, run.logOffset)}`;
    if (!mayPass(failure, options.port) || attempt === START_ATTEMPTS) {
      throw new Error(`Postgres in ${data.path} did not start: ${failure}`);
    }
    await setTimeout(START_INTERVAL_MS);
  }
}

/** Creates the database if it is missing, as a copy of another one of the server, and returns its url. */
export async function createDatabase(
  server: EmbeddedPostgres,
  name: string,
  template = "template1",
): Promise<string> {
  const client = new pg.Client({ connectionString: server.url });
  await client.connect();
  try {
    const found = await client.query("select from pg_database where datname = $1", [name]);
    if (found.rowCount === 0) {
      const names = [name, template].map((each) => client.escapeIdentifier(each));
      await client.query(`create database ${names.join(" template ")}`);
    }
  } finally {
    await client.end();
  }
  return server.databaseUrl(name);
}

interface Run {
  readonly process: SupervisedProcess;
  readonly logFile: string;
  /** The log's length before this start: earlier starts wrote the rest. */
  readonly logOffset: number;
}

async function startServer(
  command: string,
  data: DataDirectory,
  user: ServerUser | undefined,
  settings: Readonly<Record<string, string | number>>,
): Promise<Run> {
  const logFile = join(data.path, "server.log");
  closeSync(openSync(logFile, "a", 0o600));
  give(logFile, user);
  const given = Object.entries({ ...settings, listen_addresses: LOOPBACK });
  const spec: ProcessSpec = {
    command,
    args: ["-D", data.path, ...given.flatMap(([name, value]) => ["-c", `${name}=${value}`])],
    env: { PATH: process.env["PATH"] ?? "", LC_ALL: "C" },
    cwd: "/",
    logFile,
    stopSteps: FAST,
    ...identity(user),
  };
  const logOffset = statSync(logFile).size;
  return { process: await startProcess(spec), logFile, logOffset };
}

/** A port lost to somebody else, and backends of a killed server that are still ending. */
function mayPass(failure: string, fixedPort: number | undefined): boolean {
  const lostPort = /could not create any TCP\/IP sockets|another server answers/.test(failure);
  const endingBackends = /pre-existing shared memory block/.test(failure);
  return endingBackends || (lostPort && fixedPort === undefined);
}

function describe(run: Run, data: DataDirectory, port: number): EmbeddedPostgres {
  return {
    url: urlOf(data, port, "postgres"),
    host: LOOPBACK,
    port,
    pid: run.process.pid,
    dataDir: data.path,
    logFile: run.logFile,
    exited: run.process.exited,
    isRunning: () => run.process.isRunning(),
    databaseUrl: (database) => urlOf(data, port, database),
    signal: (signal) => run.process.signal(signal),
    stop: async (mode = "fast") => {
      await run.process.stop(mode === "fast" ? FAST : IMMEDIATE);
    },
  };
}
