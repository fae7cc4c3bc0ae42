/**
 * Time and randomness as inputs: the two ports that let the simulator run the production code on virtual time
 * from one seed. Real adapters: shared/runtime/clock.ts. Simulated twins: test/simulation.
 */

/** Stops a timer; calling it twice, or after the timer fired, does nothing. */
export type Cancel = () => void;

export interface Clock {
  /** Milliseconds on a clock that never goes back; only differences mean anything. May have a fraction. */
  monotonicMs(): number;
  /** Milliseconds since 1970. Only for what people read and for retention; never for protocol decisions. */
  wallMs(): number;
  /** Calls `task` once, not before `delayMs` has passed. `task` must not throw. */
  after(delayMs: number, task: () => void): Cancel;
  /** Calls `task` once, after what is already queued at this moment: the end of the current tick. */
  soon(task: () => void): void;
}

export interface Random {
  /** An integer in [0, below). */
  integer(below: number): number;
  /** `length` characters of [a-z0-9]; unguessable in production. */
  token(length: number): string;
}

/** Structured lines for operators; pino fits it. Never parameters, never row contents, nothing per transaction above debug. */
export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}
