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
  /** Which work is guarded: an escalation ends with the work that it was for. */
  #work = 0;
  /** The last work that was interrupted. */
  #interrupted = 0;
  /** All so far; `quiet` awaits them. */
  #escalation: Promise<void> | undefined;
  #ending = false;

  constructor(connection: ServerConnection, control: BackendControl, clock: Clock, logger: Logger) {
    this.#connection = connection;
    this.#control = control;
    this.#clock = clock;
    this.#logger = logger;
  }

  /** Settles as `work` does; `work` is pressed to settle soon after the deadline. */
  async guard<Result>(work: Promise<Result>, deadlineMs: number): Promise<Result> {
    this.#work += 1;
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
    if (this.#cancelTimer === undefined || this.#interrupted === this.#work) return;
    this.#interrupted = this.#work;
    const earlier = this.#escalation;
    this.#escalation = this.#escalate().then(() => earlier);
  }

  async #escalate(): Promise<void> {
    const { backend } = this.#connection;
    const work = this.#work;
    await this.#attempt(() => this.#control.cancel(backend));
    if (!(await this.#stillGuardedAfterGrace(work))) return;
    this.#ending = true;
    await this.#attempt(() => this.#control.terminate([backend]));
    if (await this.#stillGuardedAfterGrace(work)) this.#connection.destroy();
  }

  async #attempt(step: () => Promise<void>): Promise<void> {
    try {
      await step();
    } catch (error) {
      this.#logger.warn({ error, pid: this.#connection.backend.pid }, "not interrupted");
    }
  }

  /** Resolves early when the work has settled. */
  #stillGuardedAfterGrace(work: number): Promise<boolean> {
    return new Promise((resolve) => {
      const guarding = this.#cancelTimer;
      if (guarding === undefined || this.#work !== work) {
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
