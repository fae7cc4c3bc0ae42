/**
 * The keeper: a small process that is the parent of every process a program starts, and ends them all when
 * that program goes away, however it goes.
 *
 *   program ──IPC──► keeper ──► postgres, coordinators, participants
 *
 * The operating system closes the IPC channel even when the program is killed with SIGKILL; that close is the
 * signal to clean up. Because the keeper itself starts the processes, there is no moment in which a process runs
 * that the keeper does not know of. It sits in a session of its own, so that Ctrl-C in a terminal reaches the
 * program only, which then ends its processes in the right order.
 *
 * Windows knows no signals: there every one of them ends the process at once, and Postgres recovers at its next
 * start. The keeper imports types only, because it also runs straight from source, through a loader, under tests.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import type { KeeperReport, KeeperRequest, ProcessSpec, StopStep } from "./keeper-protocol.ts";

interface Kept {
  readonly child: ChildProcess;
  readonly spec: ProcessSpec;
}

const kept = new Map<number, Kept>();
let closing = false;

function report(message: KeeperReport): void {
  // The program may be gone at any moment; its absence is handled by the disconnect event, not here.
  if (process.connected) process.send?.(message, undefined, undefined, () => undefined);
}

function start(id: number, spec: ProcessSpec): void {
  let log: number | undefined;
  try {
    log = openSync(spec.logFile, "a", 0o600);
    const child = spawn(spec.command, [...spec.args], {
      cwd: spec.cwd,
      env: { ...spec.env },
      stdio: ["ignore", log, log],
      windowsHide: true,
      ...(spec.uid === undefined ? {} : { uid: spec.uid }),
      ...(spec.gid === undefined ? {} : { gid: spec.gid }),
    });
    child.once("error", (error) => {
      if (child.pid === undefined) report({ kind: "refused", id, reason: error.message });
    });
    if (child.pid === undefined) return;
    kept.set(id, { child, spec });
    child.once("exit", (code, signal) => {
      kept.delete(id);
      report({ kind: "exited", id, exit: { code, signal } });
      leaveIfDone();
    });
    report({ kind: "started", id, pid: child.pid });
  } catch (error) {
    report({ kind: "refused", id, reason: error instanceof Error ? error.message : String(error) });
  } finally {
    if (log !== undefined) closeSync(log);
  }
}

/** The process leaves `kept` when it exits; each step that finds it still there goes one signal further. */
function stop(id: number, steps: readonly StopStep[]): void {
  const [step, ...further] = steps;
  const entry = kept.get(id);
  if (entry === undefined || step === undefined) return;
  entry.child.kill(step.signal);
  // A stopped process (SIGSTOP) would never see the signal.
  if (process.platform !== "win32") entry.child.kill("SIGCONT");
  setTimeout(() => {
    stop(id, further);
  }, step.graceMs).unref();
}

function leaveIfDone(): void {
  if (closing && kept.size === 0) process.exit(0);
}

function shutdown(): void {
  if (closing) return;
  closing = true;
  for (const [id, { spec }] of kept) stop(id, spec.stopSteps);
  leaveIfDone();
}

process.on("message", (request: KeeperRequest) => {
  switch (request.kind) {
    case "start":
      if (closing) report({ kind: "refused", id: request.id, reason: "the keeper is closing" });
      else start(request.id, request.spec);
      return;
    case "signal":
      kept.get(request.id)?.child.kill(request.signal);
      report({ kind: "signalled", id: request.id });
      return;
    case "stop":
      stop(request.id, request.steps);
      return;
  }
});
process.on("disconnect", shutdown);
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, shutdown);
