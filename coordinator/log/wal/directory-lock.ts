/**
 * One process per data directory: a file that names the owner by process id and start time. A killed owner leaves the file
 * behind; the start time tells a reused process id from the owner, so the next start takes over by itself.
 */
import * as fs from "node:fs";
import { join } from "node:path";

interface Owner {
  readonly pid: number;
  /** Clock ticks since boot, from /proc; null where the system has no /proc. */
  readonly startedAt: string | null;
}

function startTimeOf(pid: number): string | null {
  try {
    const stat = fs.readFileSync(`/proc/${String(pid)}/stat`, "utf8");
    // The second field is a name in parentheses that may hold blanks; the start time is the 22nd field.
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? null;
  } catch {
    // No such process, or no /proc on this system: isAlive decides by signal alone.
    return null;
  }
}

function isAlive({ pid, startedAt }: Owner): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
  return startedAt === null || startTimeOf(pid) === startedAt;
}

function parseOwner(text: string): Owner | undefined {
  try {
    const { pid, startedAt } = JSON.parse(text) as Partial<Owner>;
    return typeof pid === "number" ? { pid, startedAt: startedAt ?? null } : undefined;
  } catch {
    // A file torn by a crash names nobody: nobody holds it.
    return undefined;
  }
}

/** Returns how to release it, or throws an error that names the process that holds it. */
export function lockDirectory(directory: string): () => void {
  const path = join(directory, "lock");
  const mine = JSON.stringify({ pid: process.pid, startedAt: startTimeOf(process.pid) });
  for (;;) {
    try {
      fs.writeFileSync(path, mine, { flag: "wx" });
      return () => {
        fs.rmSync(path, { force: true });
      };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
    takeAwayStale(path, directory);
  }
}

function takeAwayStale(path: string, directory: string): void {
  const aside = `${path}.${String(process.pid)}`;
  const owner = parseOwner(fs.readFileSync(path, "utf8"));
  if (owner !== undefined && isAlive(owner)) {
    throw new Error(`${directory} is in use by process ${String(owner.pid)}`);
  }
  // Of several that see the same stale file only one can rename it; the others find it gone, and look again.
  try {
    fs.renameSync(path, aside);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    return;
  }
  const taken = parseOwner(fs.readFileSync(aside, "utf8"));
  if (taken !== undefined && isAlive(taken)) {
    fs.linkSync(aside, path);
    fs.rmSync(aside);
    throw new Error(`${directory} is in use by process ${String(taken.pid)}`);
  }
  fs.rmSync(aside);
}
