/**
 * One coordinator or participant of a local cluster: a process running the built dist/, which can be killed and
 * started again, and whose readiness is asked for.
 */
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { logTail } from "../log-tail.ts";
import type { ProcessSpec } from "../processes/keeper-protocol.ts";
import { startProcess, type SupervisedProcess } from "../processes/supervisor.ts";
import type { Ask } from "./ask.ts";

const READY_DEADLINE_MS = 30_000;
const READY_INTERVAL_MS = 25;
const STOP_GRACE_MS = 5_000;
/** Read by the command line. */
const OF_CLIENTS = new Set(["SYNOD_ENDPOINTS", "SYNOD_TOKEN_FILE", "SYNOD_TLS_CA"]);

export interface NodeProcessOptions {
  /** As a person calls it: `coordinator 1`, `participant s2`. */
  readonly name: string;
  /** Relative to dist/. */
  readonly program: string;
  readonly url: string;
  readonly logFile: string;
  readonly env: Readonly<Record<string, string>>;
  readonly ask: Ask;
}

export interface NodeProcess {
  readonly name: string;
  readonly url: string;
  readonly logFile: string;
  /** Of the present or the last run. */
  readonly pid: number;
  isRunning(): boolean;
  /** SIGKILL resolves when the process has ended, other signals when they are sent. */
  kill(signal: NodeJS.Signals): Promise<void>;
  /** Ends it politely if it runs, starts it again and waits until it is ready. `env` goes over the first one. */
  restart(env?: Readonly<Record<string, string>>): Promise<void>;
  stop(): Promise<void>;
  /** Throws with the end of the log when the process ends instead, or is not ready in time. */
  awaitReady(): Promise<void>;
}

/** Started, not yet ready. */
export async function startNodeProcess(options: NodeProcessOptions): Promise<NodeProcess> {
  let env = options.env;
  let run = await startRun(options, env);
  return {
    name: options.name,
    url: options.url,
    logFile: options.logFile,
    get pid() {
      return run.process.pid;
    },
    isRunning: () => run.process.isRunning(),
    kill: async (signal) => {
      await run.process.signal(signal);
      if (signal === "SIGKILL") await run.process.exited;
    },
    restart: async (more = {}) => {
      env = { ...env, ...more };
      await run.process.stop();
      run = await startRun(options, env);
      await awaitReady(options, run);
    },
    stop: async () => {
      await run.process.stop();
    },
    awaitReady: () => awaitReady(options, run),
  };
}

interface Run {
  readonly process: SupervisedProcess;
  readonly logOffset: number;
}

async function startRun(
  options: NodeProcessOptions,
  env: Readonly<Record<string, string>>,
): Promise<Run> {
  const program = join(distDirectory(), options.program);
  if (!existsSync(program)) throw new Error(`${program} is missing: run \`npm run build\` first`);
  const logOffset = statSync(options.logFile, { throwIfNoEntry: false })?.size ?? 0;
  const spec: ProcessSpec = {
    command: process.execPath,
    args: [program],
    env: { ...inheritedEnvironment(), ...env },
    cwd: process.cwd(),
    logFile: options.logFile,
    stopSteps: [
      { signal: "SIGTERM", graceMs: STOP_GRACE_MS },
      { signal: "SIGKILL", graceMs: 0 },
    ],
  };
  return { process: await startProcess(spec), logOffset };
}

/** This file is demo/cluster/… in the source, dist/demo/cluster/… when built. */
function distDirectory(): string {
  const root = join(import.meta.dirname, "..", "..");
  return import.meta.filename.endsWith(".ts") ? join(root, "dist") : root;
}

/** Settings for nodes in our environment, which the cluster does not get. */
export function withheldSettings(): readonly string[] {
  return Object.keys(process.env).filter((name) => /^SYNOD_/.test(name) && !OF_CLIENTS.has(name));
}

/** Settings for Synod or for Postgres clients that happen to be in our environment must not reach the cluster. */
function inheritedEnvironment(): Readonly<Record<string, string>> {
  const entries = Object.entries(process.env).filter(
    (entry): entry is [string, string] => entry[1] !== undefined && !/^(SYNOD_|PG)/.test(entry[0]),
  );
  return Object.fromEntries(entries);
}

async function awaitReady(options: NodeProcessOptions, run: Run): Promise<void> {
  const deadline = performance.now() + READY_DEADLINE_MS;
  let answer = "no answer";
  while (run.process.isRunning() && performance.now() < deadline) {
    answer = await readiness(options);
    if (answer === "ready") return;
    await Promise.race([run.process.exited, setTimeout(READY_INTERVAL_MS)]);
  }
  const reason = run.process.isRunning() ? `not ready within ${READY_DEADLINE_MS} ms` : "ended";
  const log = logTail(options.logFile, run.logOffset);
  throw new Error(`${options.name}: ${reason} (${answer}); the end of ${options.logFile}:\n${log}`);
}

async function readiness({ url, ask }: NodeProcessOptions): Promise<string> {
  try {
    const { status } = await ask(`${url}/readyz`);
    return status === 200 ? "ready" : `status ${status}`;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
