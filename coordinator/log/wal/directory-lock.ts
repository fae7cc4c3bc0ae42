/**
 * One process per data directory, without a lock that dies with its owner (Node has none): files `lock.1`, `lock.2`, … of
 * which the highest names the holder.
 *
 *   the highest names a living process       refused
 *   otherwise                                link the next number; still the highest? then it is ours
 *
 * A link is made whole and only once, so there is no half-written lock and of two that see the same dead owner one wins.
 * Looking again after linking closes the last gap: a process that slept over a whole holder's life may link a number that
 * holder had cleared away, but then it finds a higher one. A process is told from a later one with the same id by its
 * start time and the boot it belongs to. Processes in different pid namespaces that share a directory do not see each
 * other: that is for whoever mounts it to prevent.
 */
import * as fs from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { LogInUse } from "../log-store.ts";
import { processExists } from "../../../shared/runtime/process-exists.ts";

const Owner = z.object({
  pid: z.int().min(1),
  /** Boot and clock tick of its start, from /proc; null where the system has no /proc. */
  startedAt: z.string().nullable(),
});
type Owner = z.infer<typeof Owner>;

/** Each round is lost only to a process that made progress. */
const MAX_ROUNDS = 100;

/** Returns how to release it. Throws LogInUse, naming the process that holds it. */
export function lockDirectory(directory: string): () => void {
  const draft = join(directory, `lock.draft.${process.pid}`);
  const self: Owner = { pid: process.pid, startedAt: startOf(process.pid) };
  fs.writeFileSync(draft, JSON.stringify(self));
  try {
    for (let round = 0; round < MAX_ROUNDS; round += 1) {
      const mine = tryLock(directory, draft);
      if (mine !== undefined) return releaseOf(mine);
    }
    throw new LogInUse(`${directory} is being taken by other processes`);
  } finally {
    fs.rmSync(draft, { force: true });
  }
}

/** Empty, and not removed: the numbers must go on. A second call may find it taken over and cleared away. */
function releaseOf(lock: string): () => void {
  let held = true;
  return () => {
    if (held) fs.truncateSync(lock, 0);
    held = false;
  };
}

/** Undefined when another process came first in some way: look again. */
function tryLock(directory: string, draft: string): string | undefined {
  const highest = generations(directory).at(-1) ?? 0;
  const owner = highest === 0 ? undefined : readOwner(lockPath(directory, highest));
  if (owner !== undefined && isAlive(owner)) {
    throw new LogInUse(`${directory} is in use by process ${owner.pid}`);
  }
  const mine = lockPath(directory, highest + 1);
  try {
    fs.linkSync(draft, mine);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return undefined;
    throw error;
  }
  const found = generations(directory);
  if (found.at(-1) !== highest + 1) {
    fs.rmSync(mine, { force: true });
    return undefined;
  }
  for (const lower of found.slice(0, -1)) fs.rmSync(lockPath(directory, lower), { force: true });
  return mine;
}

const lockPath = (directory: string, generation: number): string =>
  join(directory, `lock.${generation}`);

function generations(directory: string): readonly number[] {
  return fs
    .readdirSync(directory)
    .flatMap((name) => {
      const match = /^lock\.(\d{1,15})$/.exec(name);
      return match === null ? [] : [Number(match[1])];
    })
    .sort((a, b) => a - b);
}

/** Undefined when it was released, or torn by a crash of the whole machine, or cleared away by a newer holder. */
function readOwner(path: string): Owner | undefined {
  try {
    return Owner.safeParse(JSON.parse(fs.readFileSync(path, "utf8"))).data;
  } catch (error) {
    const isExpected = error instanceof SyntaxError || isMissing(error);
    if (!isExpected) throw error;
    return undefined;
  }
}

const isMissing = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === "ENOENT";

function isAlive({ pid, startedAt }: Owner): boolean {
  if (!processExists(pid)) return false;
  return startedAt === null || startOf(pid) === startedAt;
}

function startOf(pid: number): string | null {
  try {
    const boot = fs.readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
    const stat = fs.readFileSync(`/proc/${pid}/stat`, "utf8");
    // The second field is a name in parentheses that may hold blanks; the start time is the 22nd field.
    return `${boot} ${stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? ""}`;
  } catch {
    // No such process, or no /proc on this system: isAlive decides by signal alone.
    return null;
  }
}
