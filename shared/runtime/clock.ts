/** The real clock and real randomness behind the ports of shared/model/ports.ts. */
import { randomInt } from "node:crypto";
import type { Clock, Random } from "../model/ports.ts";

export const systemClock: Clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
  after: (delayMs, task) => {
    const timer = setTimeout(task, delayMs);
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
