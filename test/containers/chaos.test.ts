/**
 * Every nemesis that a cluster can have, first in containers, then on processes of this machine:
 *
 *   SYNOD_TEST_BACKEND=containers | processes     one of the two; without it both, and then a missing Docker engine fails the suite
 */
import type { CheckerVerdict } from "../histories/report/input.ts";
import { type Backend, BACKENDS } from "./cluster.ts";
import { NEMESES, missingFor } from "./nemeses/all.ts";
import { IN_DOUBT_BOUND_MS } from "./in-doubt.ts";
import type { Run } from "./run.ts";
import { newRunDirectory, startRun } from "./starting.ts";
import { describeEvidence, tell } from "./telling.ts";

/** For what hangs: an image is built on a machine that may do much else. */
const START_DEADLINE_MS = 1_200_000;
const SCENARIO_DEADLINE_MS = 600_000;
const MAX_EXAMPLES = 5;

const startedAtMs = performance.now();

describe.each(chosenBackends())("%s", (backend) => {
  let starting: Promise<Run> | undefined;
  let run: Run | undefined;
  let verdicts: readonly CheckerVerdict[] = [];
  let failed = 0;
  const here = NEMESES.filter((it) => missingFor(it, backend) === undefined);
  const elsewhere = NEMESES.filter((it) => !here.includes(it));

  beforeAll(async () => {
    for (const it of elsewhere) {
      tell(`${backend}: NOT DONE HERE: ${it.name}, which needs ${missingFor(it, backend) ?? ""}`);
    }
    starting = startRun(backend, newRunDirectory(backend));
    run = await starting;
  }, START_DEADLINE_MS);

  afterAll(async () => {
    // Also when its start took too long, nothing of it is left. Why it failed is told by the start.
    run ??= await starting?.catch(() => undefined);
    await run?.close(
      [["scenarios", `${here.length}, and nothing runs between them`]],
      verdicts,
      failed > 0,
    );
    const minutes = (performance.now() - startedAtMs) / 60_000;
    tell(`${backend}: report in ${run?.directory ?? "-"}, ${minutes.toFixed(1)} minutes by now`);
  }, START_DEADLINE_MS);

  test.each(here)(
    "nothing is lost, done twice or half done under $name",
    async (nemesis) => {
      if (run === undefined) throw new Error("the cluster did not start");
      failed += 1;
      const evidence = await run.scenario(nemesis);
      verdicts = evidence.judged.verdicts;
      tell(describeEvidence(backend, evidence));
      expect(findingsOf(verdicts)).toEqual([]);
      expect(evidence.unclear).toEqual([]);
      expect(evidence.committedAfterHeal).toBeGreaterThan(0);
      expect(evidence.inDoubtAfterHealMs).not.toBeNull();
      expect(evidence.inDoubtAfterHealMs).toBeLessThanOrEqual(IN_DOUBT_BOUND_MS);
      failed -= 1;
    },
    SCENARIO_DEADLINE_MS,
  );

  test(
    "in the end all logs agree with what was told and with what was done",
    async () => {
      if (run === undefined) throw new Error("the cluster did not start");
      failed += 1;
      const judged = await run.judge();
      verdicts = judged.verdicts;
      tell(`${backend}: ${judged.decisions} decisions, ${judged.committed} transactions committed`);
      expect(findingsOf(verdicts)).toEqual([]);
      expect(judged.decisions).toBeGreaterThan(0);
      failed -= 1;
    },
    SCENARIO_DEADLINE_MS,
  );
});

/** A few of each checker's. */
function findingsOf(verdicts: readonly CheckerVerdict[]): readonly string[] {
  return verdicts.flatMap(({ checker, findings }) =>
    findings.slice(0, MAX_EXAMPLES).map((finding) => `${checker}: ${finding}`),
  );
}

function chosenBackends(): readonly Backend[] {
  const chosen = process.env["SYNOD_TEST_BACKEND"];
  if (chosen === undefined) return BACKENDS;
  const found = BACKENDS.filter((backend) => backend === chosen);
  if (found.length === 0) throw new Error(`SYNOD_TEST_BACKEND is one of ${BACKENDS.join(", ")}`);
  return found;
}
