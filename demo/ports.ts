/**
 * Free TCP ports on the loopback address.
 *
 * They are drawn at random from below the range that operating systems give to outgoing connections (32768 and
 * up on Linux, 49152 elsewhere): a port from that range may be gone when a killed server comes back to it. A port
 * is free at the moment of asking only; whoever binds it later must be ready to ask again.
 */
import { randomInt } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:net";

export const LOOPBACK = "127.0.0.1";

const LOWEST_PORT = 10_000;
const ABOVE_PORTS = 32_000;
const ATTEMPTS = 1_000;

/** `count` different ports that nobody listens on. */
export async function freePorts(count: number): Promise<readonly number[]> {
  const found = new Set<number>();
  for (let attempt = 0; attempt < ATTEMPTS && found.size < count; attempt += 1) {
    const port = randomInt(LOWEST_PORT, ABOVE_PORTS);
    if (!found.has(port) && (await isFree(port))) found.add(port);
  }
  if (found.size < count) throw new Error(`no ${count} free ports found on ${LOOPBACK}`);
  return [...found];
}

export async function freePort(): Promise<number> {
  const [port] = await freePorts(1);
  if (port === undefined) throw new Error("no free port");
  return port;
}

/** Throws with those that somebody listens on. */
export async function requireFree(ports: readonly number[]): Promise<void> {
  const free = await Promise.all(ports.map(isFree));
  const taken = ports.filter((_, index) => free[index] === false);
  if (taken.length === 0) return;
  const which = taken.length === 1 ? `port ${taken[0]} is` : `ports ${taken.join(", ")} are`;
  throw new Error(`${which} in use on ${LOOPBACK}: choose another base port`);
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  try {
    await once(server.listen(port, LOOPBACK), "listening");
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EADDRINUSE") return false;
    throw error;
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
}
