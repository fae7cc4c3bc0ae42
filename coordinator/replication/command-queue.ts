/**
 * Natural batching: commands wait here while the window is full, and one slot takes whatever has gathered, so a lone
 * command never waits for company and a crowd shares one round.
 */
import type { Value } from "../paxos/message.ts";
import { encodeBatch, type EncodedCommand } from "../transactions/command.ts";

const BATCH_LIMITS = {
  maxCommands: 256,
  /** A single larger command gets a slot of its own. */
  maxCharacters: 64 * 1024,
  /** Commands waiting for a slot; beyond, `push` refuses and the caller aborts. */
  maxQueued: 16_384,
} as const;

export class CommandQueue {
  #waiting: EncodedCommand[] = [];

  get length(): number {
    return this.#waiting.length;
  }

  /** False when the queue is full. */
  push(command: EncodedCommand): boolean {
    if (this.#waiting.length >= BATCH_LIMITS.maxQueued) return false;
    this.#waiting.push(command);
    return true;
  }

  clear(): void {
    this.#waiting = [];
  }

  /** The next batch as a slot's value; undefined when nothing waits. */
  takeBatch(): Value | undefined {
    if (this.#waiting.length === 0) return undefined;
    let count = 0;
    let characters = 0;
    while (count < this.#waiting.length && count < BATCH_LIMITS.maxCommands) {
      characters += this.#waiting[count]?.length ?? 0;
      if (count > 0 && characters > BATCH_LIMITS.maxCharacters) break;
      count += 1;
    }
    return encodeBatch(this.#waiting.splice(0, count));
  }
}
