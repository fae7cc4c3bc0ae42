/**
 * Ends what runs too long on a server connection, in three steps: cancel it, end its server process, close the socket.
 * The server's own timeouts come first where they reach; they do not reach PREPARE TRANSACTION.
 *
 * A cancel that arrives late would hit the next user of the connection: whoever gives a connection back awaits `quiet`
 * first, and gives it back only when that says true.
 */
import type { Cancel, Clock, Logger } from "../../shared/model/ports.ts";
import type { BackendControl } from "./backend-control.ts";
import type { ServerConnection } from "./server-connection.ts";

/** From one step to the next. */
const GRACE_MS = 1_000;

export class Watchdog {
  readonly #connection: ServerConnection;
  readonly #control: BackendControl;
  readonly #clock: Clock;
  readonly #logger: Logger;
  #cancelTimer: Cancel | undefined;
  /** The last one; `quiet` awaits it. */
  #escalation: Promise<void> | undefined;
  #escalating = false;
  #ending = false;

  constructor(connection: ServerConnection, control: BackendControl, clock: Clock, logger: Logger) {
    this.#connection = connection;
    this.#control = control;
    this.#clock = clock;
    this.#logger = logger;
  }

  /** Settles as `work` does; `work` is pressed to settle soon after the deadline. */
  async guard<Result>(work: Promise<Result>, deadlineMs: number): Promise<Result> {
    this.#cancelTimer = this.#clock.after(deadlineMs, () => {
      this.interrupt();
    });
    try {
      return await work;
    } finally {
      this.#cancelTimer();
      this.#cancelTimer = undefined;
    }
  }

  /** Does nothing when nothing is guarded now. */
  interrupt(): void {
    if (this.#cancelTimer === undefined || this.#escalating) return;
    this.#escalating = true;
    this.#escalation = this.#escalate().finally(() => {
      this.#escalating = false;
    });
  }

  async #escalate(): Promise<void> {
    const { backend } = this.#connection;
    await this.#attempt(() => this.#control.cancel(backend));
    if (!(await this.#stillGuardedAfterGrace())) return;
    this.#ending = true;
    await this.#attempt(() => this.#control.terminate([backend]));
    if (await this.#stillGuardedAfterGrace()) this.#connection.destroy();
  }

  async #attempt(step: () => Promise<void>): Promise<void> {
    try {
      await step();
    } catch (error) {
      this.#logger.warn({ error, pid: this.#connection.backend.pid }, "not interrupted");
    }
  }

  /** Resolves early when the work has settled. */
  #stillGuardedAfterGrace(): Promise<boolean> {
    return new Promise((resolve) => {
      const guarding = this.#cancelTimer;
      if (guarding === undefined) {
        resolve(false);
        return;
      }
      const stop = this.#clock.after(GRACE_MS, () => {
        resolve(true);
      });
      this.#cancelTimer = () => {
        guarding();
        stop();
        resolve(false);
      };
    });
  }

  /** Resolves when no signal is on its way any more. True: the server process was left alive. */
  async quiet(): Promise<boolean> {
    await this.#escalation;
    return !this.#ending;
  }

  get wasInterrupted(): boolean {
    return this.#escalation !== undefined;
  }
}
