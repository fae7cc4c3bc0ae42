/** When a member that was started can be called ready. */
import axios from "axios";
import pg from "pg";
import { eventually } from "../support/wait.ts";

const READY_DEADLINE_MS = 240_000;
const PROBE_TIMEOUT_MS = 2_000;

export function awaitReady(name: string, url: string): Promise<void> {
  return eventually(`${name} is ready`, () => isReady(url), READY_DEADLINE_MS);
}

export function awaitDatabase(name: string, url: string): Promise<void> {
  return eventually(`${name} answers`, () => answers(url), READY_DEADLINE_MS);
}

async function isReady(url: string): Promise<boolean> {
  try {
    const answer = await axios.get(`${url}/readyz`, { timeout: PROBE_TIMEOUT_MS, proxy: false });
    return answer.status === 200;
  } catch (error) {
    // Not listening yet, or 503: what readiness is asked for.
    if (axios.isAxiosError(error)) return false;
    throw error;
  }
}

async function answers(url: string): Promise<boolean> {
  const client = new pg.Client({
    connectionString: url,
    connectionTimeoutMillis: PROBE_TIMEOUT_MS,
  });
  client.on("error", () => undefined);
  try {
    await client.connect();
    await client.query("select");
    return true;
  } catch {
    // Starting or recovering: the deadline tells when that is too long.
    return false;
  } finally {
    await client.end();
  }
}
