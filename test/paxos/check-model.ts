/**
 * The model check: one line for each scope (model-checks.ts), and a shortest schedule where something breaks.
 *
 *   npm run check:model                      the default scopes
 *   npm run check:model -- --large           the larger ones too (some minutes, and a gigabyte of memory)
 *   npm run check:model -- 3 2 2 1           one scope: nodes, slots, ballots, crashes
 *
 * Exit code 1 when an invariant breaks, a scope outgrows its bound or a situation that it must meet is not met.
 */
import { explore } from "./explorer.ts";
import { header, reportRow, scopeText, unmet } from "./explorer/report.ts";
import { MODEL_CHECKS, type ModelCheck } from "./model-checks.ts";

const MAX_STATES = 12_000_000;

function passes({ title, scope, mustMeet }: ModelCheck): boolean {
  const exploration = explore({ ...scope, maxStates: MAX_STATES });
  reportRow(title, scope, exploration, mustMeet);
  return exploration.complete && unmet(exploration, mustMeet).length === 0;
}

function asked([nodes = 3, slots = 1, ballots = 2, crashes = 0]: readonly number[]): ModelCheck {
  const scope = { nodes, slots, ballots, crashes, nacks: true };
  return { title: scopeText(scope), length: "large", scope, mustMeet: [] };
}

const words = process.argv.slice(2);
const numbers = words.filter((word) => /^\d+$/.test(word)).map(Number);
const checks =
  numbers.length > 0
    ? [asked(numbers)]
    : MODEL_CHECKS.filter(({ length }) => length !== "large" || words.includes("--large"));
header();
const startedAtMs = performance.now();
const passed = checks.map(passes);
const seconds = ((performance.now() - startedAtMs) / 1000).toFixed(1);
const { user, system } = process.cpuUsage();
const cpuSeconds = ((user + system) / 1_000_000).toFixed(1);
process.stdout.write(`${checks.length} scopes in ${seconds} s, ${cpuSeconds} s of it on a core\n`);
if (passed.includes(false)) process.exitCode = 1;
