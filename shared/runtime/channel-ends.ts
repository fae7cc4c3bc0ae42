/**
 * The two ends of a channel: a server that accepts after a hello, and a client that connects again for ever.
 *
 * The first frame of each side is its hello, packed alone. A server that refuses closes with code 4000 and a sentence.
 */
import type { IncomingMessage, Server } from "node:http";
import type { Duplex } from "node:stream";
import { WebSocket, WebSocketServer, type RawData } from "ws";
import type { Random } from "../model/ports.ts";
import { Channel, CHANNEL_LIMITS, pack, unpack } from "./channel.ts";

const REFUSED = 4000;
const HELLO_TIMEOUT_MS = 5_000;
const FIRST_RETRY_MS = 20;
const LAST_RETRY_MS = 1_000;
/** The limit of a close reason is 123 bytes. */
const MAX_REASON_CHARACTERS = 100;

export type HelloVerdict =
  | { readonly accept: true; readonly reply: unknown }
  | { readonly accept: false; readonly sentence: string };

export interface ServeOptions {
  readonly server: Server;
  readonly path: string;
  /** Judges the first frame of a client. Must not throw. */
  readonly acceptHello: (hello: unknown) => HelloVerdict;
  readonly onChannel: (channel: Channel, hello: unknown) => void;
}

const socketOptions = {
  perMessageDeflate: false,
  maxPayload: CHANNEL_LIMITS.maxFrameBytes,
} as const;

/** Accepts channels on a path of an http server. Returns how to stop: open channels are closed. */
export function serveChannels(options: ServeOptions): () => void {
  const sockets = new WebSocketServer({ noServer: true, ...socketOptions });
  let count = 0;
  const upgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    if (request.url !== options.path) {
      socket.destroy();
      return;
    }
    sockets.handleUpgrade(request, socket, head, (accepted) => {
      count += 1;
      welcome(accepted, `${request.socket.remoteAddress ?? "?"}#${count}`, options);
    });
  };
  options.server.on("upgrade", upgrade);
  return () => {
    options.server.off("upgrade", upgrade);
    for (const socket of sockets.clients) socket.terminate();
    sockets.close();
  };
}

function welcome(socket: WebSocket, id: string, options: ServeOptions): void {
  const timer = setTimeout(() => {
    socket.close(REFUSED, "no hello in time");
  }, HELLO_TIMEOUT_MS);
  socket.on("error", () => {
    socket.terminate();
  });
  socket.once("close", () => {
    clearTimeout(timer);
  });
  socket.once("message", (data: RawData) => {
    clearTimeout(timer);
    const hello = tryUnpack(data);
    const verdict = options.acceptHello(hello);
    if (!verdict.accept) {
      socket.close(REFUSED, verdict.sentence.slice(0, MAX_REASON_CHARACTERS));
      return;
    }
    socket.send(pack(verdict.reply));
    options.onChannel(new Channel(id, socket), hello);
  });
}

/** Undefined for bytes that are no msgpack: no verdict accepts that. */
function tryUnpack(data: RawData): unknown {
  try {
    return unpack(data as Buffer);
  } catch {
    return undefined;
  }
}

export interface ConnectOptions {
  readonly url: string;
  readonly hello: unknown;
  readonly random: Random;
  /** Judges the server's hello. False: hang up, and try again later. */
  readonly acceptReply: (reply: unknown) => boolean;
  readonly onUp: (channel: Channel, reply: unknown) => void;
  readonly onDown: () => void;
  /** The server refused the hello, with its sentence; the client keeps trying, slowly. */
  readonly onRefused: (sentence: string) => void;
}

export interface Connection {
  close(): void;
}

/** Connects, and connects again with jittered backoff whenever the connection ends, until closed. */
export function connectChannel(options: ConnectOptions): Connection {
  return new Connector(options);
}

class Connector implements Connection {
  readonly #options: ConnectOptions;
  #socket: WebSocket | undefined;
  #timer: NodeJS.Timeout | undefined;
  #retryMs = FIRST_RETRY_MS;
  #closed = false;

  constructor(options: ConnectOptions) {
    this.#options = options;
    this.#connect();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#socket?.terminate();
  }

  #connect(): void {
    const socket = new WebSocket(this.#options.url, {
      ...socketOptions,
      handshakeTimeout: HELLO_TIMEOUT_MS,
    });
    this.#socket = socket;
    let isUp = false;
    let helloTimer: NodeJS.Timeout | undefined;
    socket.on("open", () => {
      socket.send(pack(this.#options.hello));
      helloTimer = setTimeout(() => {
        socket.terminate();
      }, HELLO_TIMEOUT_MS);
    });
    socket.once("message", (data: RawData) => {
      clearTimeout(helloTimer);
      const reply = tryUnpack(data);
      if (!this.#options.acceptReply(reply)) {
        socket.terminate();
        return;
      }
      isUp = true;
      this.#retryMs = FIRST_RETRY_MS;
      this.#options.onUp(new Channel(this.#options.url, socket), reply);
    });
    // The reason is told by the close that follows every error.
    socket.on("error", () => undefined);
    socket.on("close", (code, reason) => {
      clearTimeout(helloTimer);
      if (isUp) this.#options.onDown();
      else if (code === REFUSED) this.#refused(reason.toString());
      this.#retry();
    });
  }

  #refused(sentence: string): void {
    this.#retryMs = LAST_RETRY_MS;
    this.#options.onRefused(sentence);
  }

  #retry(): void {
    if (this.#closed) return;
    const delayMs = this.#retryMs / 2 + this.#options.random.integer(this.#retryMs);
    this.#retryMs = Math.min(this.#retryMs * 2, LAST_RETRY_MS);
    this.#timer = setTimeout(() => {
      this.#connect();
    }, delayMs);
  }
}
