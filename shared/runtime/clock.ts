/** The real clock and real randomness behind the ports of shared/model/ports.ts. */
import { randomInt } from "node:crypto";
import { assert } from "../model/assert.ts";
import type { Clock, Random } from "../model/ports.ts";

/** Longer timers fire at once in Node. */
const MAX_DELAY_MS = 2 ** 31 - 1;

export const systemClock: Clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
  after: (delayMs, task) => {
    assert(delayMs <= MAX_DELAY_MS, "a delay is a number below 2^31 milliseconds");
    const dueMs = performance.now() + delayMs;
    // Node's timers count whole milliseconds and may fire one of them early.
    const fire = (): void => {
      const earlyMs = dueMs - performance.now();
      if (earlyMs > 0) timer = setTimeout(fire, earlyMs);
      else task();
    };
    let timer = setTimeout(fire, delayMs);
    return () => {
      clearTimeout(timer);
    };
  },
  soon: (task) => {
    setImmediate(task);
  },
};

const ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz";

export const systemRandom: Random = {
  integer: (below) => randomInt(below),
  token: (length) => {
    let token = "";
    while (token.length < length) token += ALPHABET[randomInt(ALPHABET.length)] ?? "";
    return token;
  },
};
