/**
 * One persistent WebSocket that carries many conversations: one-way messages, and requests with their replies.
 *
 * Everything queued within a tick of the event loop leaves as one frame (channel-frame.ts), so that under load the cost of
 * a system call and of a frame is shared by all that is said at once.
 *
 * Silence is counted in beats of our own timer, not in time: a process that was stopped and goes on must not take its own
 * sleep for the silence of all others.
 */
import type { RawData, WebSocket } from "ws";
import {
  ChannelClosed,
  ChannelDown,
  ChannelRemoteError,
  ChannelTimeout,
} from "./channel-errors.ts";
import { joinFrames, packPart, readFrame, type Part } from "./channel-frame.ts";

export const CHANNEL_LIMITS = {
  /** Bytes queued and not yet taken by the system; beyond, messages are dropped and requests refused. */
  maxBufferedBytes: 32 * 1024 * 1024,
  /** A larger message is dropped, a larger request refused, a larger reply answered as a failure. */
  maxMessageBytes: 8 * 1024 * 1024,
  maxFrameBytes: 16 * 1024 * 1024,
  maxOutstandingRequests: 10_000,
  /** Requests of the other side that may be in work at once; more are answered as failed. */
  maxServedRequests: 10_000,
  /** Requests in work, of both sides together, from which on a channel counts as busy. */
  busyConversations: 8,
  busyFlushMs: 1,
  pingIntervalMs: 500,
  /** Silence after which the other side counts as gone. */
  silenceMs: 2_000,
  /** How long an orderly close may wait for the other side. */
  closeTimeoutMs: 1_000,
  maxFailureCharacters: 1_000,
} as const;

/** A WebSocket's close reason has at most 123 bytes; a character cut in two may grow by two. */
const MAX_REASON_BYTES = 120;
export const closeReason = (sentence: string): string =>
  Buffer.from(sentence).subarray(0, MAX_REASON_BYTES).toString();
const NORMAL_CLOSE = 1000;
const MAX_SILENT_BEATS = CHANNEL_LIMITS.silenceMs / CHANNEL_LIMITS.pingIntervalMs;

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
  #queued: Buffer[] = [];
  #queuedBytes = 0;
  #nextId = 1;
  /** Requests from this id on have not left the queue. */
  #unsentFrom = 1;
  #served = 0;
  /** A flush is on its way. */
  #flushes = false;
  #silentBeats = 0;
  #closed = false;
  #onMessage: ((body: unknown) => void) | undefined;
  #onRequest: ((body: unknown) => Promise<unknown>) | undefined;
  readonly #onClose: ((reason: string, code?: number) => void)[] = [];

  /** Takes over an open socket whose hello is done. */
  constructor(id: string, socket: WebSocket) {
    this.id = id;
    this.#socket = socket;
    const heard = (): void => {
      this.#silentBeats = 0;
    };
    socket.on("message", (data, isBinary) => {
      heard();
      this.#receive(data, isBinary);
    });
    socket.on("pong", heard);
    socket.on("ping", heard);
    socket.on("close", (code, reason) => {
      this.#end(reason.length > 0 ? reason.toString() : "the connection ended", code);
    });
    socket.on("error", (error) => {
      this.#abort(error.message);
    });
    this.#pinger = setInterval(() => {
      this.#beat();
    }, CHANNEL_LIMITS.pingIntervalMs);
    this.#pinger.unref();
  }

  /** Without a receiver a message breaks the protocol: the channel is closed. Set it before the first tick ends. */
  onMessage(receive: (body: unknown) => void): void {
    this.#onMessage = receive;
  }

  /** A rejection is answered as a failure with the error's message. Without an answerer every request fails. */
  onRequest(answer: (body: unknown) => Promise<unknown>): void {
    this.#onRequest = answer;
  }

  /** Called once; with the WebSocket's close code where the other side ended it. After it nothing is received any more. */
  onClose(notify: (reason: string, code?: number) => void): void {
    if (this.#closed) notify("the channel is closed");
    else this.#onClose.push(notify);
  }

  /** False when it was dropped: the channel is closed, or the other side does not keep up. */
  send(body: unknown): boolean {
    const isTaken = this.gather(body);
    if (isTaken) this.#scheduleFlush();
    return isTaken;
  }

  /** As `send`, but it leaves with the next `flush`, or with what else leaves: for whoever knows when all is said. */
  gather(body: unknown): boolean {
    if (this.#closed) return false;
    return this.#enqueue(packPart({ kind: "message", body }));
  }

  /** What is queued leaves now. */
  flush(): void {
    if (this.#closed || this.#queued.length === 0) return;
    for (const frame of joinFrames(this.#queued, CHANNEL_LIMITS.maxFrameBytes)) {
      this.#socket.send(frame, { binary: true });
    }
    this.#queued = [];
    this.#queuedBytes = 0;
    this.#unsentFrom = this.#nextId;
  }

  /** Rejects with ChannelDown, ChannelClosed, ChannelTimeout or ChannelRemoteError (channel-errors.ts). */
  request(body: unknown, timeoutMs: number): Promise<unknown> {
    if (this.#closed) return refused("the channel is closed");
    if (this.#waiting.size >= CHANNEL_LIMITS.maxOutstandingRequests) {
      return refused("too many requests wait for their replies");
    }
    const id = this.#nextId;
    if (!this.#enqueue(packPart({ kind: "request", id, body }))) {
      return refused("the request is too large, or the other side does not keep up");
    }
    this.#scheduleFlush();
    this.#nextId += 1;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(id);
        reject(new ChannelTimeout(`no reply within ${Math.round(timeoutMs)} ms`));
      }, timeoutMs);
      this.#waiting.set(id, { resolve, reject, timer });
    });
  }

  /** What is queued still leaves; requests without a reply are rejected. */
  close(reason = "closed"): void {
    if (this.#closed) return;
    this.flush();
    this.#end(reason);
    const timer = setTimeout(() => {
      this.#socket.terminate();
    }, CHANNEL_LIMITS.closeTimeoutMs);
    timer.unref();
    this.#socket.once("close", () => {
      clearTimeout(timer);
    });
    this.#socket.close(NORMAL_CLOSE, closeReason(reason));
  }

  #abort(reason: string): void {
    this.#end(reason);
    this.#socket.terminate();
  }

  /** False when there is no room for it. */
  #enqueue(part: Buffer): boolean {
    const { maxBufferedBytes, maxMessageBytes } = CHANNEL_LIMITS;
    const buffered = this.#queuedBytes + this.#socket.bufferedAmount;
    if (part.length > maxMessageBytes || buffered + part.length > maxBufferedBytes) return false;
    this.#queued.push(part);
    this.#queuedBytes += part.length;
    return true;
  }

  /**
   * At the end of this tick; on a busy channel a moment later, so that many share a frame. A write costs more than all that
   * is in it, and where many wait anyway a millisecond is nothing to any of them.
   */
  #scheduleFlush(): void {
    if (this.#flushes) return;
    this.#flushes = true;
    const flush = (): void => {
      this.#flushes = false;
      this.flush();
    };
    const conversations = this.#waiting.size + this.#served;
    if (conversations < CHANNEL_LIMITS.busyConversations) setImmediate(flush);
    else setTimeout(flush, CHANNEL_LIMITS.busyFlushMs);
  }

  #beat(): void {
    if (this.#silentBeats >= MAX_SILENT_BEATS) {
      this.#abort(`the other side was silent for ${CHANNEL_LIMITS.silenceMs} ms`);
      return;
    }
    this.#silentBeats += 1;
    if (this.#socket.readyState === this.#socket.OPEN) this.#socket.ping();
  }

  #receive(data: RawData, isBinary: boolean): void {
    if (this.#closed) return;
    const parts = isBinary ? readFrame(data as Buffer) : undefined;
    if (parts === undefined) this.close("a frame breaks the protocol");
    for (const part of parts ?? []) {
      this.#onPart(part);
      if (this.#isClosed()) return;
    }
  }

  /** Handlers may close the channel, which the compiler does not see. */
  #isClosed(): boolean {
    return this.#closed;
  }

  #onPart(part: Part): void {
    switch (part.kind) {
      case "message":
        if (this.#onMessage === undefined) this.close("messages are not taken here");
        else this.#onMessage(part.body);
        return;
      case "request":
        void this.#serve(part.id, part.body);
        return;
      case "reply":
        this.#take(part.id)?.resolve(part.body);
        return;
      case "failure":
        this.#take(part.id)?.reject(new ChannelRemoteError(part.sentence));
        return;
    }
  }

  async #serve(id: number, body: unknown): Promise<void> {
    this.#served += 1;
    let answer: Buffer;
    try {
      answer = packPart({ kind: "reply", id, body: await this.#answer(body) });
      if (answer.length > CHANNEL_LIMITS.maxMessageBytes) throw new Error("the reply is too large");
    } catch (error) {
      const sentence = error instanceof Error ? error.message : String(error);
      const short = sentence.slice(0, CHANNEL_LIMITS.maxFailureCharacters);
      answer = packPart({ kind: "failure", id, sentence: short });
    }
    this.#served -= 1;
    if (this.#closed) return;
    if (this.#enqueue(answer)) {
      this.#scheduleFlush();
      return;
    }
    // Without its reply the other side would wait for its deadline; a closed channel tells it at once.
    this.close("the other side does not take its replies");
  }

  async #answer(body: unknown): Promise<unknown> {
    if (this.#onRequest === undefined) throw new Error("requests are not taken here");
    if (this.#served > CHANNEL_LIMITS.maxServedRequests) {
      throw new Error("too many requests are in work");
    }
    return this.#onRequest(body);
  }

  /** Undefined for a reply that comes after its deadline, or twice. */
  #take(id: number): Waiting | undefined {
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) return undefined;
    this.#waiting.delete(id);
    clearTimeout(waiting.timer);
    return waiting;
  }

  #end(reason: string, code?: number): void {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#pinger);
    for (const [id, { reject, timer }] of this.#waiting) {
      clearTimeout(timer);
      const wasSent = id < this.#unsentFrom;
      reject(wasSent ? new ChannelClosed(reason) : new ChannelDown(reason));
    }
    this.#waiting.clear();
    this.#queued = [];
    this.#queuedBytes = 0;
    for (const notify of this.#onClose) notify(reason, code);
  }
}

function refused(sentence: string): Promise<never> {
  return Promise.reject(new ChannelDown(sentence));
}
