/** Channels between real sockets on the loopback address; what a test opened is closed by `closeChannels`. */
import { createServer, type Server } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { WebSocket, WebSocketServer } from "ws";
import {
  connectChannel,
  serveChannels,
  type ConnectOptions,
  type ServeOptions,
} from "../../shared/runtime/channel-ends.ts";
import { pack } from "../../shared/runtime/channel-frame.ts";
import type { Channel } from "../../shared/runtime/channel.ts";
import { systemRandom } from "../../shared/runtime/clock.ts";

export const HOST = "127.0.0.1";
export const PATH = "/channel";

const undo: (() => Promise<void> | void)[] = [];

/** For afterEach. */
export async function closeChannels(): Promise<void> {
  for (let step = undo.pop(); step !== undefined; step = undo.pop()) await step();
}

export function closeLater(step: () => Promise<void> | void): void {
  undo.push(step);
}

export async function listen(
  port = 0,
): Promise<{ readonly server: Server; readonly port: number }> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, HOST, resolve);
  });
  closeLater(() => {
    server.closeAllConnections();
    server.close();
  });
  return { server, port: (server.address() as AddressInfo).port };
}

export interface Listening {
  readonly port: number;
  readonly server: Server;
  readonly accepted: Channel[];
  readonly stop: () => void;
}

/** A server that greets everyone, unless told otherwise. `onChannel` sets the handlers of the server's ends. */
export async function serve(
  onChannel: (channel: Channel) => void,
  options: Partial<ServeOptions> = {},
  onPort = 0,
): Promise<Listening> {
  const { server, port } = await listen(onPort);
  const accepted: Channel[] = [];
  const stop = serveChannels({
    server,
    path: PATH,
    acceptHello: () => (hello) => ({ accept: true, reply: hello }),
    onChannel: (channel) => {
      accepted.push(channel);
      onChannel(channel);
    },
    ...options,
  });
  closeLater(stop);
  return { port, server, accepted, stop };
}

/** A first frame as the protocol wants it, without a secret. */
export function introduction(hello: unknown): Buffer {
  return pack({ hello: pack(hello), proof: null });
}

export interface Dialled {
  readonly events: string[];
  readonly channel: () => Channel;
  readonly close: () => void;
}

/** A client whose life is told in `events`: up, down, refused: …, failed: … */
export function dial(port: number, options: Partial<ConnectOptions> = {}): Dialled {
  const events: string[] = [];
  let current: Channel | undefined;
  const connection = connectChannel({
    url: `ws://${HOST}:${port}${PATH}`,
    hello: () => ({ name: "client" }),
    random: systemRandom,
    acceptReply: () => true,
    onUp: (channel) => {
      current = channel;
      events.push("up");
    },
    onDown: () => {
      current = undefined;
      events.push("down");
    },
    onRefused: (sentence) => events.push(`refused: ${sentence}`),
    onFailed: (sentence) => events.push(`failed: ${sentence}`),
    ...options,
  });
  const close = (): void => {
    connection.close();
  };
  closeLater(close);
  const channel = (): Channel => {
    if (current === undefined) throw new Error(`no channel: ${events.join(", ")}`);
    return current;
  };
  return { events, channel, close };
}

export interface RawServer {
  readonly port: number;
  readonly frames: Buffer[];
  readonly sockets: WebSocket[];
  /** The TCP connections below the sockets. */
  readonly streams: Socket[];
}

/** A WebSocket server without any manners of ours: it greets, and keeps every frame it gets. */
export async function serveRaw(options: { readonly autoPong?: boolean } = {}): Promise<RawServer> {
  const { server, port } = await listen();
  const raw = new WebSocketServer({ server, path: PATH, ...options });
  const frames: Buffer[] = [];
  const sockets: WebSocket[] = [];
  const streams: Socket[] = [];
  raw.on("connection", (socket, request) => {
    sockets.push(socket);
    streams.push(request.socket);
    socket.once("message", () => {
      socket.send(pack({ name: "raw" }));
      socket.on("message", (frame) => frames.push(frame as Buffer));
    });
  });
  closeLater(() => {
    for (const socket of raw.clients) socket.terminate();
    raw.close();
  });
  return { port, frames, sockets, streams };
}

/** A WebSocket client without any manners of ours, connected and greeted. */
export async function dialRaw(
  port: number,
  options: WebSocket.ClientOptions = {},
): Promise<WebSocket> {
  const socket = new WebSocket(`ws://${HOST}:${port}${PATH}`, options);
  closeLater(() => {
    socket.terminate();
  });
  await new Promise<void>((resolve, reject) => {
    socket.once("open", resolve);
    socket.once("error", reject);
  });
  return socket;
}
