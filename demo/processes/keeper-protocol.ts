/** What a program and its keeper say to each other over the keeper's IPC channel. */

/** How to run one process. */
export interface ProcessSpec {
  readonly command: string;
  readonly args: readonly string[];
  /** The whole environment; nothing is inherited beside it. */
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  /** Standard output and error are appended here. */
  readonly logFile: string;
  readonly uid?: number;
  readonly gid?: number;
  /** Tried one after the other when the process must end, each for its time; SIGKILL belongs last. */
  readonly stopSteps: readonly StopStep[];
}

export interface StopStep {
  readonly signal: NodeJS.Signals;
  /** How long the process may take to end before the next step. */
  readonly graceMs: number;
}

export type KeeperRequest =
  | { readonly kind: "start"; readonly id: number; readonly spec: ProcessSpec }
  | { readonly kind: "signal"; readonly id: number; readonly signal: NodeJS.Signals }
  | { readonly kind: "stop"; readonly id: number; readonly steps: readonly StopStep[] };

export type KeeperReport =
  | { readonly kind: "started"; readonly id: number; readonly pid: number }
  | { readonly kind: "refused"; readonly id: number; readonly reason: string }
  | { readonly kind: "signalled"; readonly id: number }
  | { readonly kind: "exited"; readonly id: number; readonly exit: ProcessExit };

export interface ProcessExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}
