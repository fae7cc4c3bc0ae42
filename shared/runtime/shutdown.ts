/**
 * The life of a service's process: start, run until a signal, end in order; or end at once, loudly, when it cannot be
 * trusted any more.
 *
 * The first SIGTERM or SIGINT ends in order with exit code 0; a second one ends at once, which is always safe, because
 * nothing is acknowledged before it is durable. The logger must write synchronously.
 */
import type { Logger } from "../model/ports.ts";

export interface Service {
  /** Ends what the service began, in reverse. Must be bounded in time. */
  stop(): Promise<void>;
}

/** Reports an error after which the process must not go on. Never returns to its caller's next tick. */
export type Fatal = (error: unknown) => void;

export interface ServiceOptions {
  readonly logger: Logger;
  readonly start: (fatal: Fatal) => Promise<Service>;
  /** When `stop` has not resolved by then, the process ends with code 1. */
  readonly stopDeadlineMs: number;
}

export async function runService({ logger, start, stopDeadlineMs }: ServiceOptions): Promise<void> {
  const fatal: Fatal = (error) => {
    logger.error({ error }, "fatal: this process cannot go on");
    process.exit(1);
  };
  process.on("uncaughtException", fatal);
  process.on("unhandledRejection", fatal);
  let service: Service | undefined;
  let stopping = false;
  const stop = (signal: NodeJS.Signals): void => {
    if (stopping || service === undefined) process.exit(stopping ? 1 : 0);
    stopping = true;
    logger.info({ signal }, "shutting down");
    setTimeout(() => {
      logger.error({ stopDeadlineMs }, "fatal: shutting down took too long");
      process.exit(1);
    }, stopDeadlineMs).unref();
    service.stop().then(() => process.exit(0), fatal);
  };
  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);
  try {
    service = await start(fatal);
  } catch (error) {
    fatal(error);
  }
}
