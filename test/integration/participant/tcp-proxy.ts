/** A wire between a client and a server that a test can cut, or hold while the server's answers are on it. */
import { connect, createServer, type AddressInfo, type Socket } from "node:net";

export interface TcpProxy {
  readonly port: number;
  /** What the server said and the client was given, so far. */
  bytesToClients(): number;
  /** Resets the client's ends; the server keeps its own, and notices nothing. */
  cut(): void;
  /** From now on what the server says is thrown away. */
  swallowAnswers(): void;
  /** New connections work again as at first. */
  mend(): void;
  close(): Promise<void>;
}

export async function startTcpProxy(targetPort: number): Promise<TcpProxy> {
  const clients = new Set<Socket>();
  const servers = new Set<Socket>();
  let swallows = false;
  let bytes = 0;
  const listener = createServer((client) => {
    const server = connect(targetPort, "127.0.0.1");
    clients.add(client);
    servers.add(server);
    client.on("error", () => undefined);
    server.on("error", () => undefined);
    client.on("data", (chunk) => server.write(chunk));
    server.on("data", (chunk) => {
      if (swallows || client.destroyed) return;
      bytes += chunk.length;
      client.write(chunk);
    });
    server.on("close", () => client.destroy());
    client.on("end", () => server.end());
    client.on("close", () => clients.delete(client));
  });
  await new Promise<void>((resolve) => {
    listener.listen(0, "127.0.0.1", resolve);
  });
  return {
    port: (listener.address() as AddressInfo).port,
    bytesToClients: () => bytes,
    cut: () => {
      for (const client of clients) client.resetAndDestroy();
    },
    swallowAnswers: () => {
      swallows = true;
    },
    mend: () => {
      swallows = false;
    },
    close: async () => {
      for (const socket of [...clients, ...servers]) socket.destroy();
      await new Promise((resolve) => listener.close(resolve));
    },
  };
}

/** The same database, through the proxy. */
export function throughProxy(url: string, proxy: TcpProxy): string {
  const there = new URL(url);
  there.port = String(proxy.port);
  return there.href;
}
