/**
 * Starts processes that cannot outlive this program: every one is a child of the keeper (keeper.ts), and the
 * keeper ends them when this program ends, by whatever end.
 *
 * One keeper serves the whole program; it starts with the first process. An idle keeper does not keep the
 * program alive. If the keeper itself dies, its processes are killed from here.
 */
import { fork, type ChildProcess } from "node:child_process";
import { mkdirSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { assert } from "../../shared/model/assert.ts";
import type {
  KeeperReport,
  KeeperRequest,
  ProcessExit,
  ProcessSpec,
  StopStep,
} from "./keeper-protocol.ts";

export interface SupervisedProcess {
  readonly pid: number;
  /** Settles when the process has ended and was reaped; never rejects. */
  readonly exited: Promise<ProcessExit>;
  /** Whether the process has not been reported as ended. */
  isRunning(): boolean;
  /** Sends one signal; resolves when it is sent. Does nothing to a process that has ended. */
  signal(signal: NodeJS.Signals): Promise<void>;
  /** Goes through the steps (by default those of its spec) until the process has ended. */
  stop(steps?: readonly StopStep[]): Promise<ProcessExit>;
}

interface Entry {
  readonly spec: ProcessSpec;
  pid: number | undefined;
  readonly started: PromiseWithResolvers<number>;
  readonly exited: PromiseWithResolvers<ProcessExit>;
  readonly awaitingSignal: (() => void)[];
}

let keeper: ChildProcess | undefined;
let lastId = 0;
let closing = false;
const entries = new Map<number, Entry>();

/** Throws when the command cannot be run at all (missing, not executable, user not permitted). */
export async function startProcess(spec: ProcessSpec): Promise<SupervisedProcess> {
  if (closing) throw new Error("the program is ending and starts no more processes");
  mkdirSync(dirname(spec.logFile), { recursive: true });
  lastId += 1;
  const id = lastId;
  const entry: Entry = {
    spec,
    pid: undefined,
    started: withResolvers(),
    exited: withResolvers(),
    awaitingSignal: [],
  };
  entries.set(id, entry);
  ask({ kind: "start", id, spec });
  const pid = await entry.started.promise;
  return {
    pid,
    exited: entry.exited.promise,
    isRunning: () => entries.has(id),
    signal: (signal) =>
      new Promise((resolve) => {
        if (!entries.has(id)) {
          resolve();
          return;
        }
        entry.awaitingSignal.push(resolve);
        ask({ kind: "signal", id, signal });
      }),
    stop: (steps = spec.stopSteps) => {
      if (entries.has(id)) ask({ kind: "stop", id, steps });
      return entry.exited.promise;
    },
  };
}

/** Stops every process at once and for good, for a program that was told to end; resolves when all have ended. */
export async function stopAllProcesses(): Promise<void> {
  closing = true;
  const ends = [...entries].map(([id, entry]) => {
    ask({ kind: "stop", id, steps: entry.spec.stopSteps });
    return entry.exited.promise;
  });
  await Promise.all(ends);
}

function ask(request: KeeperRequest): void {
  keeper ??= startKeeper();
  keeper.ref();
  keeper.channel?.ref();
  keeper.send(request);
}

/**
 * Compiled, the keeper is plain JavaScript. From source (tests) Node needs a loader to read it, which takes a second; so a
 * build that is up to date is taken instead.
 */
function keeperProgram(): { readonly program: string; readonly execArgv: readonly string[] } {
  const beside = (name: string): string => join(import.meta.dirname, name);
  if (!import.meta.filename.endsWith(".ts")) return { program: beside("keeper.js"), execArgv: [] };
  const source = beside("keeper.ts");
  const built = beside("../../dist/demo/processes/keeper.js");
  const builtAtMs = statSync(built, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  if (builtAtMs > statSync(source).mtimeMs) return { program: built, execArgv: [] };
  const loader = createRequire(import.meta.filename).resolve("tsx");
  return { program: source, execArgv: ["--import", pathToFileURL(loader).href] };
}

function startKeeper(): ChildProcess {
  const { program, execArgv } = keeperProgram();
  const child = fork(program, [], {
    detached: true,
    execArgv: [...execArgv],
    stdio: ["ignore", "ignore", "inherit", "ipc"],
  });
  child.on("message", (message) => {
    receive(message as KeeperReport);
  });
  child.once("exit", () => {
    if (keeper === child) keeper = undefined;
    loseKeeper();
  });
  child.once("error", loseKeeper);
  return child;
}

function receive(report: KeeperReport): void {
  const entry = entries.get(report.id);
  if (entry === undefined) return;
  switch (report.kind) {
    case "started":
      entry.pid = report.pid;
      entry.started.resolve(report.pid);
      return;
    case "refused":
      forget(report.id);
      entry.started.reject(new Error(`the process cannot be started: ${report.reason}`));
      entry.exited.resolve({ code: null, signal: null });
      return;
    case "signalled":
      entry.awaitingSignal.shift()?.();
      return;
    case "exited":
      forget(report.id);
      for (const resolve of entry.awaitingSignal.splice(0)) resolve();
      entry.exited.resolve(report.exit);
      return;
  }
}

function forget(id: number): void {
  entries.delete(id);
  if (entries.size > 0) return;
  keeper?.unref();
  keeper?.channel?.unref();
}

function loseKeeper(): void {
  for (const [id, entry] of entries) {
    entries.delete(id);
    if (entry.pid !== undefined) killOrphan(entry.pid);
    entry.started.reject(new Error("the keeper process ended, and its processes with it"));
    for (const resolve of entry.awaitingSignal.splice(0)) resolve();
    entry.exited.resolve({ code: null, signal: "SIGKILL" });
  }
}

function killOrphan(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    assert(
      (error as NodeJS.ErrnoException).code === "ESRCH",
      "a process of ours can be killed by us",
    );
  }
}

interface PromiseWithResolvers<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (error: Error) => void;
}

function withResolvers<T>(): PromiseWithResolvers<T> {
  let resolve: ((value: T) => void) | undefined;
  let reject: ((error: Error) => void) | undefined;
  const promise = new Promise<T>((onValue, onError) => {
    resolve = onValue;
    reject = onError;
  });
  assert(resolve !== undefined && reject !== undefined, "a promise runs its executor at once");
  return { promise, resolve, reject };
}
