/**
 * Takes a directory's lock many times, in competition with others, and each time checks that nobody else has it. Every third time
 * it leaves the lock as a killed process would. Goes on until every one of the fighters was refused once. Ends with 1 when two had
 * it at once.
 */
import { readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { LogInUse } from "../../../coordinator/log/log-store.ts";
import { lockDirectory } from "../../../coordinator/log/wal/directory-lock.ts";

const ROUNDS = 150;
const DEAD = JSON.stringify({ pid: 4_194_304, startedAt: null });

const [directory, fighters] = process.argv.slice(2);
if (directory === undefined || fighters === undefined) {
  throw new Error("usage: fight-for-lock DIRECTORY FIGHTERS");
}
const held = join(directory, "held");

/** The highest lock is ours while we hold it. */
function leaveAsKilled(path: string): void {
  const generations = readdirSync(path)
    .flatMap((name) => /^lock\.(\d+)$/.exec(name)?.[1] ?? [])
    .map(Number);
  writeFileSync(join(path, `lock.${Math.max(...generations)}`), DEAD);
}

function everyoneWasRefused(path: string): boolean {
  const marks = readdirSync(path).filter((name) => name.startsWith("refused."));
  return marks.length === Number(fighters);
}

let taken = 0;
let refused = 0;
while (taken < ROUNDS || !everyoneWasRefused(directory)) {
  try {
    const release = lockDirectory(directory);
    writeFileSync(held, String(process.pid), { flag: "wx" });
    rmSync(held);
    taken += 1;
    if (taken % 3 === 0) leaveAsKilled(directory);
    else release();
  } catch (error) {
    if (!(error instanceof LogInUse)) throw error;
    if (refused === 0) writeFileSync(join(directory, `refused.${process.pid}`), "");
    refused += 1;
  }
}
process.stdout.write(`${JSON.stringify({ taken, refused })}\n`);
