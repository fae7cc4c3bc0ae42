/** What an election is measured by: when somebody works again, how long nobody did, and who was elected on the way. */
import type { ElectionGroup } from "./election-group.ts";

export interface Spell {
  /** From its beginning until a leader had a command chosen that it submitted in it. Infinite when none did. */
  readonly untilWorking: number;
  /** The longest time without such a command. */
  readonly longestPause: number;
  /** Elections after that first command: nothing called for them. */
  readonly needlessElections: number;
  readonly elections: number;
}

/** The time from `fromMs` until now. Times in election timeouts. */
export function spellSince(group: ElectionGroup, fromMs: number): Spell {
  const inTimeouts = (ms: number): number => ms / group.electionTimeoutMs;
  const works = group.works.filter(({ submittedAtMs }) => submittedAtMs >= fromMs);
  const elected = group.elected.filter(({ atMs }) => atMs >= fromMs);
  const worksFromMs = works[0]?.atMs ?? Infinity;
  const moments = [fromMs, ...works.map(({ atMs }) => atMs), group.nowMs];
  const pauses = moments.slice(1).map((moment, index) => moment - (moments[index] ?? 0));
  return {
    untilWorking: inTimeouts(worksFromMs - fromMs),
    longestPause: inTimeouts(Math.max(...pauses)),
    needlessElections: elected.filter(({ atMs }) => atMs > worksFromMs).length,
    elections: elected.length,
  };
}

export class ElectionTable {
  readonly #rows: string[] = [];

  add(title: string, spells: readonly Spell[]): void {
    const times = spells.map(({ untilWorking }) => untilWorking).sort((a, b) => a - b);
    const figure = (of: number | undefined): string => (of ?? NaN).toFixed(2).padStart(6);
    const needless = spells.reduce((sum, { needlessElections }) => sum + needlessElections, 0);
    this.#rows.push(
      `${title.padEnd(86)} ${String(spells.length).padStart(4)} ` +
        `${figure(times[Math.floor(times.length / 2)])} ${figure(times.at(-1))} ` +
        String(needless).padStart(4),
    );
  }

  toString(): string {
    const title = "until a leader works, in election timeouts".padEnd(86);
    const head = `${title} runs median  worst needless elections`;
    return [head, ...this.#rows].join("\n");
  }
}
