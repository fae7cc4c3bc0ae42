/** What every command gets: the output, the options that all share, and a client made when it is first needed. */
import type { Command } from "commander";
import { Synod } from "../sdk.ts";
import type { Output } from "./output.ts";
import { readPlace, readToken, type SettingOptions } from "./settings.ts";

interface GlobalOptions extends SettingOptions {
  readonly json?: boolean;
  readonly deadline: number;
}

export interface CommandContext {
  readonly output: Output;
  readonly json: boolean;
  readonly endpoints: readonly string[];
  readonly hasToken: boolean;
  readonly synod: Synod;
  readonly deadlineMs: number;
  /** Aborted by Ctrl-C. */
  readonly signal: AbortSignal;
}

export interface Surroundings {
  readonly output: Output;
  readonly env: NodeJS.ProcessEnv;
  readonly signal: AbortSignal;
}

/** Runs a command against the cluster, and closes its connections. */
export type Act = (
  command: Command,
  act: (context: CommandContext) => Promise<void>,
) => Promise<void>;

export function actIn({ output, env, signal }: Surroundings): Act {
  return async (command, act) => {
    const options = command.optsWithGlobals<GlobalOptions>();
    const place = readPlace(options, env);
    const token = readToken(options, env);
    const synod = new Synod({ ...place, ...(token !== undefined && { token }) });
    const { json = false, deadline: deadlineMs } = options;
    const hasToken = token !== undefined;
    try {
      const { endpoints } = place;
      await act({ output, json, endpoints, hasToken, synod, deadlineMs, signal });
    } finally {
      synod.close();
    }
  };
}
