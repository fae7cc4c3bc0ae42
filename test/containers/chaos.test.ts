/**
 * Every nemesis against a cluster in containers, and every one that needs no network of its own against local processes:
 *
 *   SYNOD_TEST_BACKEND=containers | processes     one of the two; without it both, and then a missing Docker engine fails the suite
 */
import type { Books } from "../../demo/transfers/books.ts";
import { Bank, type Evidence, IN_DOUBT_BOUND_MS } from "./bank.ts";
import { type Backend, BACKENDS, type Cluster } from "./cluster.ts";
import { startContainers } from "./containers.ts";
import { findEngine } from "./engine.ts";
import { startProcesses } from "./local-processes.ts";
import type { Nemesis } from "./nemesis.ts";
import { freeze } from "./nemeses/freeze.ts";
import { kill } from "./nemeses/kill.ts";
import { disconnect, oneWayLoss } from "./nemeses/network.ts";
import { immediateRestart, rollingRestart } from "./nemeses/restarts.ts";
import { follower, leader, participant, postgres } from "./nemeses/victims.ts";

const START_DEADLINE_MS = 400_000;
const SCENARIO_DEADLINE_MS = 240_000;
const MAX_EXAMPLES = 5;

const NEMESES: readonly Nemesis[] = [
  kill("the leader", leader),
  kill("a follower", follower),
  kill("a participant", participant),
  kill("Postgres", postgres),
  freeze("the leader", leader),
  freeze("a follower", follower),
  freeze("a participant", participant),
  freeze("Postgres", postgres),
  immediateRestart,
  rollingRestart,
  disconnect("the leader", leader),
  disconnect("a follower", follower),
  disconnect("a participant", participant),
  oneWayLoss("the leader", leader, 1),
  oneWayLoss("a participant", participant, 0.3),
];

describe.each(chosenBackends())("%s", (backend) => {
  let cluster: Cluster | undefined;
  let bank: Bank | undefined;

  beforeAll(async () => {
    cluster = await startCluster(backend);
    tell(`${backend}: ${cluster.description}`);
    bank = await Bank.open(cluster);
  }, START_DEADLINE_MS);

  afterAll(() => cluster?.remove(), START_DEADLINE_MS);

  const nemeses = NEMESES.filter((it) => !it.needsNetworks || backend === "containers");

  test.each(nemeses)(
    "the books balance under $name",
    async (nemesis) => {
      const evidence = await bank!.moveMoneyUnder(nemesis);
      tell(describeEvidence(backend, nemesis, evidence));
      expect(examples(evidence.books)).toEqual({});
      expect(evidence.books).toMatchObject({ balance: true });
      expect(evidence.lowestBalance).toBeGreaterThanOrEqual(0);
      expect(evidence.acknowledgedAfterHeal).toBeGreaterThan(0);
      expect(evidence.inDoubtAfterHealMs).toBeLessThanOrEqual(IN_DOUBT_BOUND_MS);
    },
    SCENARIO_DEADLINE_MS,
  );
});

/** A few of each kind of what is wrong. */
function examples({ findings }: Books): Readonly<Record<string, readonly string[]>> {
  const found = Object.entries(findings).filter(([, list]) => list.length > 0);
  return Object.fromEntries(found.map(([kind, list]) => [kind, list.slice(0, MAX_EXAMPLES)]));
}

function chosenBackends(): readonly Backend[] {
  const chosen = process.env["SYNOD_TEST_BACKEND"];
  if (chosen === undefined) return BACKENDS;
  const found = BACKENDS.filter((backend) => backend === chosen);
  if (found.length === 0) throw new Error(`SYNOD_TEST_BACKEND is one of ${BACKENDS.join(", ")}`);
  return found;
}

async function startCluster(backend: Backend): Promise<Cluster> {
  if (backend === "processes") return startProcesses();
  await findEngine().catch((error: unknown) => {
    tell(
      "NO DOCKER ENGINE: NOTHING WAS TESTED IN CONTAINERS (SYNOD_TEST_BACKEND=processes: without)",
    );
    throw error;
  });
  return startContainers();
}

function describeEvidence(backend: Backend, { name }: Nemesis, evidence: Evidence): string {
  const { victim, kills, acknowledged, aborted, longestPauseMs, inDoubtAfterHealMs } = evidence;
  return [
    `${backend}: ${name} (${victim})`,
    `${kills} kills`,
    `${acknowledged} acknowledged`,
    `${aborted} aborted`,
    `longest pause ${Math.round(longestPauseMs)} ms`,
    `in doubt after the heal ${Math.round(inDoubtAfterHealMs)} ms`,
  ].join(", ");
}

/** Past Jest's console, which adds a stack to each line. */
function tell(line: string): void {
  process.stdout.write(`${line}\n`);
}
