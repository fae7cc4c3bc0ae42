/**
 * Ctrl-C and SIGTERM for programs that run a cluster: the first one ends every process in peace, a second one ends
 * the program at once and leaves the processes to the keeper.
 */
import { stopAllProcesses } from "./processes/supervisor.ts";

const EXIT_CODES = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

let interrupted = false;

/** `cleanUp` runs when no process is left. */
export function endOnInterrupt(cleanUp: () => void): void {
  const end = async (exitCode: number): Promise<void> => {
    if (interrupted) process.exit(exitCode);
    interrupted = true;
    await stopAllProcesses();
    cleanUp();
    process.exit(exitCode);
  };
  for (const [signal, exitCode] of Object.entries(EXIT_CODES)) {
    process.on(signal, () => void end(exitCode));
  }
}

/** Runs a program's main function. An error is told, ends every process, and makes the exit code 1. */
export function run(main: () => Promise<void>): void {
  main().catch(async (error: unknown) => {
    if (interrupted) return;
    for (
      let told = error;
      told !== undefined;
      told = told instanceof Error ? told.cause : undefined
    ) {
      console.error(told instanceof Error ? told.message : told);
    }
    await stopAllProcesses();
    process.exit(1);
  });
}
