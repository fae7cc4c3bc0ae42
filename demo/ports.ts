/**
 * Free TCP ports on the loopback address. A port is free at the moment of asking; whoever binds it later must
 * be ready to ask again.
 */
import { createServer, type AddressInfo } from "node:net";
import { once } from "node:events";

export const LOOPBACK = "127.0.0.1";

/** `count` different ports that nobody listens on. */
export async function freePorts(count: number): Promise<readonly number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  try {
    const listening = servers.map((server) => once(server.listen(0, LOOPBACK), "listening"));
    await Promise.all(listening);
    return servers.map((server) => (server.address() as AddressInfo).port);
  } finally {
    await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  }
}

export async function freePort(): Promise<number> {
  const [port] = await freePorts(1);
  if (port === undefined) throw new Error("no free port");
  return port;
}
