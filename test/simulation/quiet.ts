/**
 * When the faults have ended the cluster must come to rest: somebody leads, the quorum that is kept knows the same and follows
 * that leader, nothing is in doubt on any shard, and every client has its answer. Says what is still missing.
 */
import { majority } from "../../coordinator/paxos/recover.ts";
import type { CoordinatorHost } from "./world/coordinator-host.ts";
import type { World } from "./world/world.ts";

/** Undefined when all is quiet. */
export function restlessness(world: World): string | undefined {
  const serving = world.coordinators.filter(isServing);
  const [leader] = serving;
  if (leader === undefined || serving.length > 1) {
    return `${serving.length} nodes lead and serve: ${serving.map((host) => host.machine).join(" ")}`;
  }
  const core = world.faults.lasting.kept ?? coreOf(world, leader);
  if (core.length < majority(world.coordinators.length) || !core.includes(leader)) {
    return `${leader.machine} leads, but can talk to no quorum`;
  }
  return (
    withoutAgreement(world, leader, core) ?? withBranchesInDoubt(world) ?? withOpenCalls(world)
  );
}

function isServing({ node, process }: CoordinatorHost): boolean {
  const view = process?.paused === true ? undefined : node?.gateway.view();
  return view?.role === "leader" && view.serving;
}

/** The leader and whoever hears it and is heard by it. */
function coreOf(
  { coordinators, network }: World,
  leader: CoordinatorHost,
): readonly CoordinatorHost[] {
  return coordinators.filter(({ node, machine }) => {
    const isCut =
      network.isBlocked(machine, leader.machine) || network.isBlocked(leader.machine, machine);
    return node !== undefined && !isCut;
  });
}

function withoutAgreement(
  world: World,
  leader: CoordinatorHost,
  core: readonly CoordinatorHost[],
): string | undefined {
  const applied = new Set(core.map(({ node }) => node?.replica.chosenUpTo));
  if (applied.size > 1) return `replicas have applied ${[...applied].join(", ")}`;
  for (const { node, machine } of core) {
    const followed = node?.gateway.view().leader;
    if (followed !== leader.self) return `${machine} follows ${followed ?? "nobody"}`;
    const incomplete = node?.ledger.incompleteCount ?? 0;
    if (incomplete > world.contradicted().length) {
      return `${incomplete} carriers are incomplete on ${machine}`;
    }
    const inFlight = node?.gateway.view().inFlight ?? 0;
    if (inFlight > 0) return `${inFlight} transactions are in flight on ${machine}`;
  }
  return undefined;
}

function withBranchesInDoubt({ participants }: World): string | undefined {
  for (const { database, shard } of participants) {
    const gids = database.preparedGids();
    if (gids.length > 0) return `${shard} still holds ${gids.join(" ")}`;
  }
  return undefined;
}

function withOpenCalls({ history }: World): string | undefined {
  const { open } = history;
  if (open.length === 0) return undefined;
  return `clients still wait for ${open.map(({ name }) => name).join(" ")}`;
}
