import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { ProcessSpec } from "../../demo/processes/keeper-protocol.ts";
import { startProcess } from "../../demo/processes/supervisor.ts";
import { eventually } from "../support/wait.ts";

const directory = mkdtempSync(join(tmpdir(), "synod-supervisor-"));
chmodSync(directory, 0o755);

afterAll(() => {
  rmSync(directory, { recursive: true, force: true });
});

function script(source: string, more: Partial<ProcessSpec> = {}): ProcessSpec {
  return {
    command: process.execPath,
    args: ["-e", source],
    env: {},
    cwd: directory,
    logFile: join(directory, `${Math.random()}.log`),
    stopSteps: [
      { signal: "SIGTERM", graceMs: 300 },
      { signal: "SIGKILL", graceMs: 0 },
    ],
    ...more,
  };
}

const ENDLESS = "setInterval(() => {}, 1000); console.log('up');";
const DEAF = `process.on('SIGTERM', () => {}); ${ENDLESS}`;

async function isUp(spec: ProcessSpec): Promise<void> {
  await eventually("the process says it is up", () =>
    readFileSync(spec.logFile, "utf8").includes("up"),
  );
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Starts the program that starts a deaf process and a Postgres server; resolves when both run. */
async function startProgram(
  name: string,
  ...options: string[]
): Promise<{ program: ChildProcess; pids: readonly number[] }> {
  const path = join(import.meta.dirname, "..", "support", "programs", "start-processes.ts");
  const program = spawn(
    process.execPath,
    ["--import", "tsx", path, join(directory, name), ...options],
    { stdio: ["ignore", "pipe", "ignore"] },
  );
  const [line] = (await once(createInterface({ input: program.stdout }), "line")) as [string];
  return { program, pids: Object.values(JSON.parse(line) as Record<string, number>) };
}

async function expectGone(pids: readonly number[]): Promise<void> {
  expect(pids).toHaveLength(2);
  await eventually("every process of the program is gone", () => !pids.some(isAlive));
}

test("a program killed with SIGKILL leaves no process behind", async () => {
  const { program, pids } = await startProgram("killed");
  expect(pids.every(isAlive)).toBe(true);
  program.kill("SIGKILL");
  await expectGone(pids);
});

test("a program that crashes leaves no process behind", async () => {
  const { program, pids } = await startProgram("crashed", "--crash");
  await expectGone(pids);
  expect(program.exitCode).toBe(1);
});

test("Ctrl-C leaves no process behind", async () => {
  const { program, pids } = await startProgram("interrupted");
  program.kill("SIGINT");
  await expectGone(pids);
});

test("a process that ends by itself is reported with its exit code", async () => {
  const child = await startProcess(script("process.exit(7)"));
  expect(await child.exited).toEqual({ code: 7, signal: null });
  expect(child.isRunning()).toBe(false);
});

test("output goes to the log file, after what is there", async () => {
  const spec = script("console.log('one'); console.error('two')");
  await (
    await startProcess(spec)
  ).exited;
  await (
    await startProcess(spec)
  ).exited;
  expect(readFileSync(spec.logFile, "utf8")).toBe("one\ntwo\none\ntwo\n");
});

test("a process that does not stop when asked is killed after its grace", async () => {
  const spec = script(DEAF);
  const child = await startProcess(spec);
  await isUp(spec);
  expect(await child.stop()).toEqual({ code: null, signal: "SIGKILL" });
});

test("a paused process hears that it must stop", async () => {
  const spec = script(ENDLESS);
  const child = await startProcess(spec);
  await isUp(spec);
  await child.signal("SIGSTOP");
  expect(await child.stop([{ signal: "SIGTERM", graceMs: 10_000 }])).toEqual({
    code: null,
    signal: "SIGTERM",
  });
});

test("a command that does not exist is an error, and so is a log file that cannot be written", async () => {
  await expect(startProcess(script("", { command: "/no/such/program" }))).rejects.toThrow(/ENOENT/);
  await expect(startProcess(script("", { logFile: directory }))).rejects.toThrow(/EISDIR/);
});

test("signals to a process that has ended do nothing", async () => {
  const child = await startProcess(script(""));
  await child.exited;
  await child.signal("SIGKILL");
  expect(await child.stop()).toEqual({ code: 0, signal: null });
});

test("when the keeper is killed, its processes are killed too", async () => {
  const spec = script("console.log('up', process.ppid); setInterval(() => {}, 1000)");
  const child = await startProcess(spec);
  await isUp(spec);
  const keeperPid = Number(/up (\d+)/.exec(readFileSync(spec.logFile, "utf8"))?.[1]);
  process.kill(keeperPid, "SIGKILL");
  expect(await child.exited).toEqual({ code: null, signal: "SIGKILL" });
  await eventually("the orphan is gone", () => !isAlive(child.pid));
  const next = await startProcess(script("process.exit(0)"));
  expect(await next.exited).toEqual({ code: 0, signal: null });
});
