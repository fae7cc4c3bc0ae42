/**
 * CPU time of processes, from /proc. A tree's time counts its ended children too: Linux adds their time to the parent
 * that reaped them. Elsewhere than on Linux nothing is measured, and the report says so.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";

/** USER_HZ, the unit of /proc/<pid>/stat; the same on every Linux. */
const TICKS_PER_SECOND = 100;

export interface Watched {
  readonly name: string;
  /** Read anew each time: a process may be started again. */
  readonly pid: () => number;
  /** With all descendants, as for a Postgres server. */
  readonly tree: boolean;
}

export type CpuSample = ReadonlyMap<string, number>;

interface Stat {
  readonly parent: number;
  readonly ownTicks: number;
  readonly reapedTicks: number;
}

export const cpuIsMeasured = existsSync("/proc/self/stat");

/** Seconds of CPU that each has used since its start. */
export function sampleCpu(watched: readonly Watched[]): CpuSample {
  if (!cpuIsMeasured) return new Map();
  const stats = readStats();
  return new Map(
    watched.map(({ name, pid, tree }) => [name, ticksOf(stats, pid(), tree) / TICKS_PER_SECOND]),
  );
}

export function cpuBetween(from: CpuSample, to: CpuSample): CpuSample {
  return new Map([...to].map(([name, seconds]) => [name, seconds - (from.get(name) ?? 0)]));
}

function ticksOf(stats: ReadonlyMap<number, Stat>, root: number, tree: boolean): number {
  const stat = stats.get(root);
  if (stat === undefined) return 0;
  if (!tree) return stat.ownTicks;
  let ticks = 0;
  const open = [root];
  for (let pid = open.pop(); pid !== undefined; pid = open.pop()) {
    const { ownTicks = 0, reapedTicks = 0 } = stats.get(pid) ?? {};
    ticks += ownTicks + reapedTicks;
    for (const [child, { parent }] of stats) if (parent === pid) open.push(child);
  }
  return ticks;
}

function readStats(): ReadonlyMap<number, Stat> {
  const stats = new Map<number, Stat>();
  for (const entry of readdirSync("/proc")) {
    const stat = /^\d+$/.test(entry) ? readStat(entry) : undefined;
    if (stat !== undefined) stats.set(Number(entry), stat);
  }
  return stats;
}

function readStat(pid: string): Stat | undefined {
  let line: string;
  try {
    line = readFileSync(`/proc/${pid}/stat`, "latin1");
  } catch {
    // It ended between the listing and the reading.
    return undefined;
  }
  // The second field is the program's name in parentheses and may hold anything.
  const fields = line
    .slice(line.lastIndexOf(")") + 2)
    .split(" ")
    .map(Number);
  const [, parent = 0, , , , , , , , , , user = 0, system = 0, reapedUser = 0, reapedSystem = 0] =
    fields;
  return { parent, ownTicks: user + system, reapedTicks: reapedUser + reapedSystem };
}
