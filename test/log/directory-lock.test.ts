/** One process per data directory, also after kill -9, and however many start at once. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { LogInUse } from "../../coordinator/log/log-store.ts";
import { lockDirectory } from "../../coordinator/log/wal/directory-lock.ts";
import { WriteAheadLog } from "../../coordinator/log/wal/wal.ts";
import { accepted, described, IDENTITY } from "./records.ts";

const directory = mkdtempSync(join(tmpdir(), "synod-lock-"));
afterAll(() => {
  rmSync(directory, { recursive: true });
});

function fresh(name: string): string {
  const path = join(directory, name);
  mkdirSync(path);
  return path;
}

function startProgram(program: string, ...args: string[]): ChildProcess {
  const path = join(import.meta.dirname, "..", "support", "programs", program);
  return spawn(process.execPath, ["--import", "tsx", path, ...args], {
    stdio: ["pipe", "pipe", "inherit"],
  });
}

const locks = (path: string): readonly string[] =>
  readdirSync(path).filter((name) => name.startsWith("lock."));

test("a directory is locked once, and again when it was released", () => {
  const path = fresh("twice");
  const release = lockDirectory(path);
  expect(() => lockDirectory(path)).toThrow(LogInUse);
  expect(() => lockDirectory(path)).toThrow(`${path} is in use by process ${process.pid}`);
  release();
  release();
  const again = lockDirectory(path);
  release();
  expect(() => lockDirectory(path)).toThrow(LogInUse);
  again();
  expect(locks(path)).toHaveLength(1);
});

test.each([
  ["a dead process", JSON.stringify({ pid: 4_194_304, startedAt: null })],
  ["a process that had this one's id", JSON.stringify({ pid: process.pid, startedAt: "boot 1" })],
  ["nobody, being torn", '{"pid":'],
  ["nobody, being empty", ""],
  ["no process", JSON.stringify({ pid: 0, startedAt: null })],
])("a lock that names %s is taken over", (_, content) => {
  const path = mkdtempSync(join(directory, "stale-"));
  writeFileSync(join(path, "lock.7"), content);
  const release = lockDirectory(path);
  expect(locks(path)).toEqual(["lock.8"]);
  release();
});

test("of several locks the highest counts", () => {
  const path = fresh("several");
  const alive = JSON.stringify({ pid: process.pid, startedAt: null });
  writeFileSync(join(path, "lock.9"), JSON.stringify({ pid: 4_194_304, startedAt: null }));
  writeFileSync(join(path, "lock.10"), alive);
  expect(() => lockDirectory(path)).toThrow(LogInUse);
  expect(locks(path).toSorted()).toEqual(["lock.10", "lock.9"]);
});

test("a process that was killed holds nothing, and what it acknowledged is there", async () => {
  const path = join(directory, "killed");
  const holder = startProgram("hold-log.ts", path);
  await once(createInterface({ input: holder.stdout! }), "line");
  const log = () => new WriteAheadLog({ directory: path, identity: IDENTITY });
  await expect(log().open()).rejects.toThrow(`in use by process ${holder.pid}`);
  holder.kill("SIGKILL");
  await once(holder, "exit");
  const next = log();
  const { records } = await next.open();
  expect(described(records)).toBe(described([accepted(1)]));
  await next.close();
});

test("of processes that fight for a directory only one has it at a time", async () => {
  const path = fresh("contended");
  const fighters = [1, 2, 3].map(() => startProgram("fight-for-lock.ts", path, "3"));
  const lines = await Promise.all(
    fighters.map(async (fighter) => {
      const ended = once(fighter, "exit");
      const [line] = (await once(createInterface({ input: fighter.stdout! }), "line")) as [string];
      const [code] = (await ended) as [number | null];
      return { code, ...(JSON.parse(line) as { taken: number; refused: number }) };
    }),
  );
  for (const { code, taken, refused } of lines) {
    expect(code).toBe(0);
    expect(taken).toBeGreaterThanOrEqual(150);
    expect(refused).toBeGreaterThan(0);
  }
  expect(locks(path)).toHaveLength(1);
});
