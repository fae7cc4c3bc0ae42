/**
 * One persistent WebSocket that carries many conversations: one-way messages, and requests with their replies.
 *
 * Everything queued within a tick of the event loop leaves as one frame: a msgpack array of
 *   [0, body]            a message
 *   [1, id, body]        a request
 *   [2, id, body]        its reply
 *   [3, id, sentence]    its failure
 * so that under load the cost of a system call and of a frame is shared by all that is said at once.
 */
import { Packr, Unpackr } from "msgpackr";
import type { RawData, WebSocket } from "ws";
import { assert } from "../model/assert.ts";
import {
  ChannelClosed,
  ChannelDown,
  ChannelRemoteError,
  ChannelTimeout,
} from "./channel-errors.ts";

export const CHANNEL_LIMITS = {
  /** Bytes the socket may hold unsent; beyond, messages are dropped and requests refused. */
  maxBufferedBytes: 16 * 1024 * 1024,
  maxFrameBytes: 64 * 1024 * 1024,
  maxOutstandingRequests: 10_000,
  pingIntervalMs: 500,
  /** Silence after which the other side counts as gone. */
  silenceMs: 2_000,
} as const;

const MESSAGE = 0;
const REQUEST = 1;
const REPLY = 2;
const FAILURE = 3;
type Part = readonly [number, unknown, unknown?];

/** Plain maps on the wire: both sides stay readable to each other without shared record structures. */
const packr = new Packr({ useRecords: false });
const unpackr = new Unpackr({ useRecords: false, mapsAsObjects: true, copyBuffers: true });

export const pack = (value: unknown): Buffer => packr.pack(value);
export const unpack = (bytes: Buffer): unknown => unpackr.unpack(bytes) as unknown;

interface Waiting {
  readonly resolve: (body: unknown) => void;
  readonly reject: (error: Error) => void;
  readonly timer: NodeJS.Timeout;
}

export class Channel {
  readonly id: string;
  readonly #socket: WebSocket;
  readonly #waiting = new Map<number, Waiting>();
  readonly #pinger: NodeJS.Timeout;
  #parts: Part[] = [];
  #flushing = false;
  #nextId = 1;
  #heardAtMs = performance.now();
  #closed = false;
  #onMessage: (body: unknown) => void = () => undefined;
  #onRequest: (body: unknown) => Promise<unknown> = () =>
    Promise.reject(new Error("nobody answers requests here"));
  readonly #onClose: (() => void)[] = [];

  /** Takes over an open socket whose hello is done. */
  constructor(id: string, socket: WebSocket) {
    this.id = id;
    this.#socket = socket;
    socket.on("message", (data) => {
      this.#receive(data);
    });
    socket.on("pong", () => {
      this.#heardAtMs = performance.now();
    });
    socket.on("ping", () => {
      this.#heardAtMs = performance.now();
    });
    socket.on("close", () => {
      this.#end();
    });
    socket.on("error", () => {
      this.close();
    });
    this.#pinger = setInterval(() => {
      this.#ping();
    }, CHANNEL_LIMITS.pingIntervalMs);
    this.#pinger.unref();
  }

  onMessage(receive: (body: unknown) => void): void {
    this.#onMessage = receive;
  }

  onRequest(answer: (body: unknown) => Promise<unknown>): void {
    this.#onRequest = answer;
  }

  onClose(notify: () => void): void {
    if (this.#closed) notify();
    else this.#onClose.push(notify);
  }

  /** False when it was dropped: the channel is closed, or the other side does not keep up. */
  send(body: unknown): boolean {
    if (!this.#canSend()) return false;
    this.#queue([MESSAGE, body]);
    return true;
  }

  /** Rejects with ChannelDown, ChannelClosed, ChannelTimeout or ChannelRemoteError. */
  request(body: unknown, timeoutMs: number): Promise<unknown> {
    if (!this.#canSend() || this.#waiting.size >= CHANNEL_LIMITS.maxOutstandingRequests) {
      return Promise.reject(new ChannelDown("the channel takes no requests now"));
    }
    const id = this.#nextId;
    this.#nextId += 1;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(id);
        reject(new ChannelTimeout(`no reply within ${Math.round(timeoutMs)} ms`));
      }, timeoutMs);
      this.#waiting.set(id, { resolve, reject, timer });
      this.#queue([REQUEST, id, body]);
    });
  }

  close(): void {
    if (this.#closed) return;
    this.#socket.terminate();
    this.#end();
  }

  #canSend(): boolean {
    return !this.#closed && this.#socket.bufferedAmount < CHANNEL_LIMITS.maxBufferedBytes;
  }

  #queue(part: Part): void {
    this.#parts.push(part);
    if (this.#flushing) return;
    this.#flushing = true;
    setImmediate(() => {
      this.#flush();
    });
  }

  #flush(): void {
    this.#flushing = false;
    const parts = this.#parts;
    this.#parts = [];
    if (!this.#closed) this.#socket.send(pack(parts));
  }

  #ping(): void {
    if (performance.now() - this.#heardAtMs > CHANNEL_LIMITS.silenceMs) this.close();
    else if (this.#socket.readyState === this.#socket.OPEN) this.#socket.ping();
  }

  #receive(data: RawData): void {
    this.#heardAtMs = performance.now();
    const parts = this.#parse(data);
    if (parts === undefined) {
      this.close();
      return;
    }
    for (const part of parts) this.#onPart(part);
  }

  /** Undefined when the frame is not one of ours. */
  #parse(data: RawData): readonly Part[] | undefined {
    try {
      const frame = unpack(data as Buffer);
      return Array.isArray(frame) && frame.every((part) => Array.isArray(part))
        ? (frame as unknown as Part[])
        : undefined;
    } catch {
      // Bytes that are no msgpack come from no peer of ours: the connection ends, like for any malformed frame.
      return undefined;
    }
  }

  #onPart([kind, first, second]: Part): void {
    switch (kind) {
      case MESSAGE:
        this.#onMessage(first);
        return;
      case REQUEST:
        this.#answer(first as number, second);
        return;
      case REPLY:
        this.#take(first as number)?.resolve(second);
        return;
      case FAILURE:
        this.#take(first as number)?.reject(new ChannelRemoteError(String(second)));
        return;
      default:
        this.close();
    }
  }

  #answer(id: number, body: unknown): void {
    const fail = (error: unknown): void => {
      const sentence = error instanceof Error ? error.message : String(error);
      if (!this.#closed) this.#queue([FAILURE, id, sentence]);
    };
    this.#onRequest(body).then((reply) => {
      if (!this.#closed) this.#queue([REPLY, id, reply]);
    }, fail);
  }

  #take(id: number): Waiting | undefined {
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) return undefined;
    this.#waiting.delete(id);
    clearTimeout(waiting.timer);
    return waiting;
  }

  #end(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#pinger);
    for (const { reject, timer } of this.#waiting.values()) {
      clearTimeout(timer);
      reject(new ChannelClosed("the connection ended before the reply"));
    }
    this.#waiting.clear();
    assert(this.#socket.readyState !== this.#socket.CONNECTING, "a channel owns an open socket");
    for (const notify of this.#onClose) notify();
  }
}
