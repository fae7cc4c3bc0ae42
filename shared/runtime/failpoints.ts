/**
 * Arms failpoints for crash tests: `SYNOD_FAILPOINTS=afterVotes=/some/file` kills the process with SIGKILL the first time it
 * reaches `afterVotes` while /some/file exists, and takes the file away, so that of several processes only one dies, once.
 * Refused unless `SYNOD_ALLOW_FAILPOINTS=yes`: nobody's production dies of a forgotten variable.
 */
import { unlinkSync } from "node:fs";
import { FAILPOINTS, noFailpoints, type ReachFailpoint } from "../model/failpoints.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** Throws an error that names the variable at fault. */
export function armedFailpoints(environment: Environment): ReachFailpoint {
  const text = environment["SYNOD_FAILPOINTS"];
  if (text === undefined || text === "") return noFailpoints;
  if (environment["SYNOD_ALLOW_FAILPOINTS"] !== "yes") {
    throw new Error("SYNOD_FAILPOINTS is set, but SYNOD_ALLOW_FAILPOINTS is not `yes`");
  }
  const tokens = new Map(text.split(",").map(parseFailpoint));
  return (point) => {
    const token = tokens.get(point);
    if (token !== undefined && take(token)) process.kill(process.pid, "SIGKILL");
  };
}

function parseFailpoint(text: string): readonly [string, string] {
  const [name, token] = text.split("=", 2);
  const isKnown = FAILPOINTS.some((point) => point === name);
  if (name === undefined || token === undefined || !isKnown) {
    throw new Error(
      `SYNOD_FAILPOINTS: "${text}" is not <point>=<file>; points: ${FAILPOINTS.join(", ")}`,
    );
  }
  return [name, token];
}

/** True for exactly one of all processes that see the file. */
function take(file: string): boolean {
  try {
    unlinkSync(file);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
    throw error;
  }
}
