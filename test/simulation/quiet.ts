/**
 * When the faults have ended the cluster must come to rest: somebody leads, everybody knows the same, nothing is in doubt,
 * and every client has its answer. Says what is still missing.
 */
import type { World } from "./world/world.ts";

/** Undefined when all is quiet. */
export function restlessness(world: World): string | undefined {
  return (
    withoutOneLeader(world) ??
    withoutAgreement(world) ??
    withBranchesInDoubt(world) ??
    withOpenCalls(world)
  );
}

function withoutOneLeader({ coordinators }: World): string | undefined {
  const serving = coordinators.filter(({ node }) => {
    const view = node?.gateway.view();
    return view?.role === "leader" && view.serving;
  });
  const [leader] = serving;
  if (leader === undefined || serving.length > 1) {
    return `${serving.length} nodes lead and serve: ${serving.map((host) => host.machine).join(" ")}`;
  }
  for (const { node, machine } of coordinators) {
    const followed = node?.gateway.view().leader;
    if (followed !== leader.self) return `${machine} follows ${followed ?? "nobody"}`;
  }
  return undefined;
}

function withoutAgreement(world: World): string | undefined {
  const { coordinators } = world;
  const applied = new Set(coordinators.map(({ node }) => node?.replica.chosenUpTo));
  if (applied.size > 1) return `replicas have applied ${[...applied].join(", ")}`;
  for (const { node, machine } of coordinators) {
    const incomplete = node?.ledger.incompleteCount ?? 0;
    if (incomplete > world.contradicted().length)
      return `${incomplete} carriers are incomplete on ${machine}`;
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
