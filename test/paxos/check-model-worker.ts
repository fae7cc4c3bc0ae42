/** One process of the model check: explores the scopes that it is sent, until its parent lets go of it. */
import { explore } from "./explorer.ts";
import { reportRow, unmet } from "./explorer/report.ts";
import { MODEL_CHECKS, type ModelCheck } from "./model-checks.ts";

/** The check of `MODEL_CHECKS` with this title. */
export interface CheckTask {
  readonly title: string;
}

export interface Checked {
  readonly text: string;
  readonly passed: boolean;
  readonly cpuSeconds: number;
}

const MAX_STATES = 12_000_000;

export function checkModel({ title, scope, mustMeet }: ModelCheck): Checked {
  const before = process.cpuUsage();
  const exploration = explore({ ...scope, maxStates: MAX_STATES });
  const { user, system } = process.cpuUsage(before);
  return {
    text: reportRow(title, scope, exploration, mustMeet),
    passed: exploration.complete && unmet(exploration, mustMeet).length === 0,
    cpuSeconds: (user + system) / 1_000_000,
  };
}

process.on("disconnect", () => {
  process.exit(0);
});
process.on("message", (message) => {
  const { title } = message as CheckTask;
  const check = MODEL_CHECKS.find((each) => each.title === title);
  if (check === undefined) throw new Error(`no check is called "${title}"`);
  process.send?.(checkModel(check));
});
