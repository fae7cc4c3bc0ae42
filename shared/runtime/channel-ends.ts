/**
 * The two ends of a channel: a server that accepts after a hello, and a client that connects again for ever.
 *
 * The first frame of each side is its hello, packed alone. Whoever refuses closes with a sentence, and with code 4000, or 4001
 * when it can never be otherwise: the other side should stop trying.
 *
 *   client                                  server
 *     ├── upgrade, nonce ─────────────────────▶│
 *     │◀────────────── upgraded, nonce, proof ─┤
 *     ├── hello, proof ───────────────────────▶│ acceptHello
 *     │◀───────────────── reply, or 4000/4001 ─┤
 *   acceptReply, onUp                       onChannel
 *
 * With a cluster secret (cluster-secret.ts) each end proves that it knows it, the client with its hello; without one there are no
 * proofs, and an end that has one takes no channel without. What was said before the proof is not even unpacked.
 */
import type { IncomingMessage, Server } from "node:http";
import type { Duplex } from "node:stream";
import { z } from "zod";
import { WebSocket, WebSocketServer, type RawData } from "ws";
import type { Random } from "../model/ports.ts";
import { pack, unpack } from "./channel-frame.ts";
import { Channel, CHANNEL_LIMITS, closeReason } from "./channel.ts";
import { ForeignCertificate, type NodeTls } from "./node-certificate.ts";
import { newNonce, NONCE_PATTERN, type ClusterSecret, type Exchange } from "./cluster-secret.ts";

const REFUSED = 4000;
export const REFUSED_FOR_GOOD = 4001;
const HELLO_TIMEOUT_MS = 2_000;
const FIRST_RETRY_MS = 20;
const LAST_RETRY_MS = 1_000;
/** Open sockets per path; far above any cluster, far below what exhausts a process. */
const MAX_SOCKETS = 1_024;

export interface HelloRefusal {
  readonly accept: false;
  readonly sentence: string;
  readonly forGood?: boolean;
}

export type HelloVerdict = { readonly accept: true; readonly reply: unknown } | HelloRefusal;

const NONCE_HEADER = "synod-nonce";
const PROOF_HEADER = "synod-proof";
const STRANGER: HelloRefusal = {
  accept: false,
  sentence: "the other side does not prove that it knows the cluster's secret",
};
const NOTHING = new Uint8Array(0);

/** The first frame of a client: its hello, packed, and its proof. */
const Introduction = z.strictObject({
  hello: z.instanceof(Uint8Array),
  proof: z.string().nullable(),
});

/** The part of a hello that a certificate vouches for. */
const CoordinatorsName = z.object({ nodeId: z.int() });

export interface ServeOptions {
  readonly server: Server;
  readonly path: string;
  /** Undefined: everybody is taken at his word. */
  readonly secret?: ClusterSecret | undefined;
  /** Whoever comes must hold the certificate of the coordinator that his hello names. */
  readonly tls?: NodeTls | undefined;
  /** Called when a client has connected and cannot have sent its first frame yet; the answer judges that. Neither throws. */
  readonly acceptHello: () => (hello: unknown) => HelloVerdict;
  readonly onChannel: (channel: Channel, hello: unknown) => void;
}

const socketOptions = {
  perMessageDeflate: false,
  maxPayload: CHANNEL_LIMITS.maxFrameBytes,
} as const;

/**
 * Accepts channels on a path of an http server, whose other upgrades it refuses. Returns how to stop: open channels
 * are closed.
 */
export function serveChannels(options: ServeOptions): () => void {
  const sockets = new WebSocketServer({ noServer: true, ...socketOptions });
  const channels = new Set<Channel>();
  const exchanges = new WeakMap<IncomingMessage, Exchange>();
  let count = 0;
  const upgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    const refusal = upgradeRefusal(request, options.path, sockets.clients.size);
    if (refusal !== undefined) {
      // A client that went away meanwhile has nothing left to be told.
      socket.on("error", () => undefined);
      socket.end(`HTTP/1.1 ${refusal}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
      return;
    }
    const exchange = exchangeOf(request, options.path);
    exchanges.set(request, exchange);
    sockets.handleUpgrade(request, socket, head, (accepted) => {
      count += 1;
      const id = `${request.socket.remoteAddress ?? "?"}#${count}`;
      welcome(accepted, id, exchange, certified(options, request), channels);
    });
  };
  sockets.on("headers", (headers, request) => {
    const exchange = exchanges.get(request);
    if (exchange === undefined || options.secret === undefined) return;
    headers.push(`${NONCE_HEADER}: ${exchange.serverNonce}`);
    headers.push(`${PROOF_HEADER}: ${options.secret.prove("server", exchange, NOTHING)}`);
  });
  options.server.on("upgrade", upgrade);
  return () => {
    options.server.off("upgrade", upgrade);
    for (const channel of channels) channel.close("the server stops");
    for (const socket of sockets.clients) if (socket.readyState === OPEN) socket.terminate();
    sockets.close();
  };
}

const OPEN = WebSocket.OPEN;

/** Browsers name their origin; no node of a cluster does, and no web page may speak to one. */
function upgradeRefusal(
  request: IncomingMessage,
  path: string,
  openSockets: number,
): string | undefined {
  if (request.headers.origin !== undefined) return "403 Forbidden";
  if (request.url !== path) return "404 Not Found";
  return openSockets >= MAX_SOCKETS ? "503 Service Unavailable" : undefined;
}

function exchangeOf({ headers }: IncomingMessage, path: string): Exchange {
  const nonce = headers[NONCE_HEADER];
  const clientNonce = typeof nonce === "string" && NONCE_PATTERN.test(nonce) ? nonce : "";
  return { path, clientNonce, serverNonce: newNonce() };
}

function certified(options: ServeOptions, { socket }: IncomingMessage): ServeOptions {
  const { tls, acceptHello } = options;
  if (tls === undefined) return options;
  return {
    ...options,
    acceptHello: () => {
      const judge = acceptHello();
      return (hello) => {
        const { data } = CoordinatorsName.safeParse(hello);
        const sentence = tls.refusal(socket, "coordinator", String(data?.nodeId));
        return sentence === undefined ? judge(hello) : { accept: false, sentence };
      };
    },
  };
}

function welcome(
  socket: WebSocket,
  id: string,
  exchange: Exchange,
  options: ServeOptions,
  channels: Set<Channel>,
): void {
  const judge = options.acceptHello();
  const timer = setTimeout(() => {
    socket.terminate();
  }, HELLO_TIMEOUT_MS);
  socket.on("error", () => {
    socket.terminate();
  });
  socket.once("close", () => {
    clearTimeout(timer);
  });
  socket.once("message", (data: RawData) => {
    clearTimeout(timer);
    const said = introduction(data, exchange, options.secret);
    if ("sentence" in said) {
      refuse(socket, said);
      return;
    }
    const { hello } = said;
    const verdict = judge(hello);
    if (!verdict.accept) {
      refuse(socket, verdict);
      return;
    }
    socket.send(pack(verdict.reply));
    const channel = new Channel(id, socket);
    channels.add(channel);
    channel.onClose(() => {
      channels.delete(channel);
    });
    options.onChannel(channel, hello);
  });
}

/** The hello, of somebody who has proved to be no stranger. */
function introduction(
  data: RawData,
  exchange: Exchange,
  secret: ClusterSecret | undefined,
): { readonly hello: unknown } | HelloRefusal {
  const read = Introduction.safeParse(tryUnpack(data));
  if (!read.success) return { accept: false, sentence: "this is no hello" };
  const { hello, proof } = read.data;
  const isKnown = secret?.verifies(proof, "client", exchange, hello) ?? true;
  return isKnown ? { hello: tryUnpack(Buffer.from(hello)) } : STRANGER;
}

function refuse(socket: WebSocket, { sentence, forGood = false }: HelloRefusal): void {
  const timer = setTimeout(() => {
    socket.terminate();
  }, CHANNEL_LIMITS.closeTimeoutMs);
  socket.once("close", () => {
    clearTimeout(timer);
  });
  socket.close(forGood ? REFUSED_FOR_GOOD : REFUSED, closeReason(sentence));
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
  /** Asked for whenever it is about to be sent. */
  readonly hello: () => unknown;
  /** Undefined: whoever answers at the address is believed. */
  readonly secret?: ClusterSecret | undefined;
  /** For a wss: url. */
  readonly tls?: ReturnType<NodeTls["dial"]> | undefined;
  readonly random: Random;
  /** Judges the server's hello. Otherwise: hang up, with the sentence where there is one, and try again later. */
  readonly acceptReply: (reply: unknown) => boolean | HelloRefusal;
  readonly onUp: (channel: Channel, reply: unknown) => void;
  /** The channel that was up ended. */
  readonly onDown: () => void;
  /** The server refused the hello, with its sentence; the client keeps trying, slowly, until it is closed. */
  readonly onRefused: (sentence: string, forGood: boolean) => void;
  /** An attempt came to nothing (nobody listens, no reply in time). For debug logs: it repeats while the server is away. */
  readonly onFailed?: (sentence: string) => void;
}

export interface Connection {
  /** Closes the channel and connects no more; of the callbacks only `onDown` may still be called, before it returns. */
  close(): void;
}

/**
 * Connects, and connects again with jittered backoff whenever the connection ends, until closed. Throws for a url that
 * is none.
 */
export function connectChannel(options: ConnectOptions): Connection {
  return new Connector(options);
}

class Connector implements Connection {
  readonly #options: ConnectOptions;
  #socket: WebSocket | undefined;
  #channel: Channel | undefined;
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
    if (this.#channel === undefined) this.#socket?.terminate();
    else this.#channel.close();
  }

  #connect(): void {
    const { url, secret } = this.#options;
    const clientNonce = newNonce();
    const exchange = { path: new URL(url).pathname, clientNonce, serverNonce: "" };
    const socket = new WebSocket(url, {
      ...socketOptions,
      ...this.#options.tls,
      headers: { [NONCE_HEADER]: clientNonce },
      handshakeTimeout: HELLO_TIMEOUT_MS,
      // Masks guard against browsers behind careless proxies. A mask of zeros spares both ends the arithmetic.
      generateMask: (mask: Buffer) => {
        mask.fill(0);
      },
    });
    this.#socket = socket;
    let failure = "the connection ended before the reply";
    let isStranger = false;
    socket.on("upgrade", ({ headers }) => {
      exchange.serverNonce = String(headers[NONCE_HEADER] ?? "");
      if (secret === undefined) return;
      if (secret.verifies(headers[PROOF_HEADER], "server", exchange, NOTHING)) return;
      isStranger = true;
      socket.terminate();
    });
    socket.on("open", () => {
      const hello = pack(this.#options.hello());
      const proof = secret?.prove("client", exchange, hello) ?? null;
      socket.send(pack({ hello, proof }));
      this.#timer = setTimeout(() => {
        failure = "no reply to the hello in time";
        socket.terminate();
      }, HELLO_TIMEOUT_MS);
    });
    socket.once("message", (data: RawData) => {
      clearTimeout(this.#timer);
      this.#judge(socket, tryUnpack(data));
    });
    socket.on("error", (error) => {
      failure = error.message;
      if (error instanceof ForeignCertificate) this.#refused(failure, false);
    });
    socket.on("close", (code, reason) => {
      if (this.#socket !== socket || this.#channel !== undefined) return;
      clearTimeout(this.#timer);
      if (this.#closed) return;
      const forGood = code === REFUSED_FOR_GOOD;
      if (code === REFUSED || forGood) this.#refused(reason.toString(), forGood);
      else this.#options.onFailed?.(isStranger ? STRANGER.sentence : failure);
      this.#retry();
    });
  }

  #judge(socket: WebSocket, reply: unknown): void {
    const verdict = !this.#closed && this.#options.acceptReply(reply);
    if (verdict !== true) {
      this.#retryMs = LAST_RETRY_MS;
      if (verdict === false) socket.terminate();
      else this.#hangUp(socket, verdict);
      return;
    }
    this.#retryMs = FIRST_RETRY_MS;
    const channel = new Channel(this.#options.url, socket);
    this.#channel = channel;
    channel.onClose(() => {
      this.#channel = undefined;
      this.#socket = undefined;
      this.#options.onDown();
      this.#retry();
    });
    this.#options.onUp(channel, reply);
  }

  /** The server echoes the close code: that is no refusal of ours. */
  #hangUp(socket: WebSocket, refusal: HelloRefusal): void {
    this.#socket = undefined;
    socket.once("close", () => {
      this.#retry();
    });
    refuse(socket, refusal);
  }

  #refused(sentence: string, forGood: boolean): void {
    this.#retryMs = LAST_RETRY_MS;
    this.#options.onRefused(sentence, forGood);
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
