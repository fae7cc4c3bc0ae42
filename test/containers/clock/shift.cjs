/**
 * Loaded into a coordinator before its own code: its wall clock is off by as many milliseconds as a file says. Containers share their
 * kernel's clock, so this is the only way to move that of one of them. Timers are not concerned: they count monotonic time.
 */
const { readFileSync } = require("node:fs");
const { join } = require("node:path");
const { setInterval } = require("node:timers");

const INTERVAL_MS = 50;
const file = join(process.env.CHAOS_CLOCK_DIRECTORY ?? ".", `node-${process.env.SYNOD_NODE_ID}`);
const RealDate = Date;
let byMs = 0;

const look = () => {
  try {
    byMs = Number(readFileSync(file, "utf8"));
  } catch {
    // Nobody has moved it.
    byMs = 0;
  }
};

if (process.env.SYNOD_NODE_ID !== undefined) {
  look();
  setInterval(look, INTERVAL_MS).unref();
  globalThis.Date = class Date extends RealDate {
    constructor(...parts) {
      if (parts.length === 0) super(RealDate.now() + byMs);
      else super(...parts);
    }

    static now() {
      return RealDate.now() + byMs;
    }
  };
}
