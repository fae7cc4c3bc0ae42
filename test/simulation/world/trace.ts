/**
 * What happened, for people (the last lines) and for the check that a seed replays exactly (a hash over all lines).
 */
const KEPT_LINES = 20_000;

export class Trace {
  readonly #nowMs: () => number;
  readonly #kept: string[] = [];
  readonly #keep: number;
  #next = 0;
  #hash = 0x811c9dc5;
  #lines = 0;

  constructor(nowMs: () => number, keep = KEPT_LINES) {
    this.#nowMs = nowMs;
    this.#keep = keep;
  }

  line(actor: string, text: string): void {
    const line = `${this.#nowMs().toFixed(3).padStart(10)}  ${actor.padEnd(8)} ${text}`;
    this.#lines += 1;
    let hash = this.#hash;
    for (let index = 0; index < line.length; index += 1) {
      hash = Math.imul(hash ^ line.charCodeAt(index), 0x01000193);
    }
    this.#hash = hash;
    this.#kept[this.#next] = line;
    this.#next = (this.#next + 1) % this.#keep;
  }

  /** Of every line so far. */
  get hash(): string {
    return `${(this.#hash >>> 0).toString(16).padStart(8, "0")}-${this.#lines}`;
  }

  last(count: number): readonly string[] {
    const ordered = [...this.#kept.slice(this.#next), ...this.#kept.slice(0, this.#next)];
    return ordered.slice(-count);
  }
}
