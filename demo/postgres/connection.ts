/**
 * Connecting to a server of ours: its urls, and waiting until it answers.
 */
import { realpathSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import pg from "pg";
import { LOOPBACK } from "../ports.ts";
import type { SupervisedProcess } from "../processes/supervisor.ts";
import type { DataDirectory } from "./data-directory.ts";

/** Long, because recovery after a crash may take its time; a server that ends is noticed at once. */
const ANSWER_DEADLINE_MS = 60_000;
const ANSWER_INTERVAL_MS = 20;
const CONNECT_TIMEOUT_MS = 5_000;

export function urlOf(data: DataDirectory, port: number, database: string): string {
  const { name, password } = data.superuser;
  const part = encodeURIComponent;
  return `postgres://${part(name)}:${part(password)}@${LOOPBACK}:${port}/${part(database)}`;
}

/** `undefined` when our server answers; else why it does not. */
export async function awaitAnswer(
  server: SupervisedProcess,
  data: DataDirectory,
  port: number,
): Promise<string | undefined> {
  const deadline = performance.now() + ANSWER_DEADLINE_MS;
  let lastError = "";
  while (server.isRunning() && performance.now() < deadline) {
    try {
      const ours = assertOurs(urlOf(data, port, "postgres"), data).then(() => true);
      if (await Promise.race([ours, server.exited.then(() => false)])) return undefined;
    } catch (error) {
      lastError = error instanceof Error ? error.message : String(error);
    }
    await Promise.race([server.exited, setTimeout(ANSWER_INTERVAL_MS)]);
  }
  return lastError;
}

/** Another server may have taken the port: then it is the one that answers. */
async function assertOurs(url: string, data: DataDirectory): Promise<void> {
  const client = new pg.Client({
    connectionString: url,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
  });
  // A connection lost after the answer is the caller's next error, not this one's.
  client.on("error", () => undefined);
  await client.connect();
  try {
    const answer = await client.query<{ data_directory: string }>("show data_directory");
    const found = answer.rows[0]?.data_directory;
    if (found === undefined || realpathSync(found) !== realpathSync(data.path)) {
      throw new Error(`another server answers on this port, its data is in ${found ?? "?"}`);
    }
  } finally {
    await client.end();
  }
}
