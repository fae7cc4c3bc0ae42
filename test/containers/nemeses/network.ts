/** Faults of the network: members cut off from all others, from some of them or from clients, deaf in one direction, or slow. */
import type { Cluster, Member, MemberNetwork } from "../cluster.ts";
import type { Fault, Nemesis } from "../nemesis.ts";
import { stutter } from "./freeze.ts";
import { aFollower, leader, type Victim } from "./victims.ts";

const DELAY_MS = 80;

export function disconnect({ called, pick }: Victim): Nemesis {
  return {
    name: `network disconnect of ${called}`,
    needs: ["networks"],
    kills: false,
    inject: async (cluster) => {
      const victim = await pick(cluster);
      await networkOf(victim).disconnect();
      return {
        victim: victim.name,
        kills: [],
        heal: async () => {
          await networkOf(victim).connect();
          await cluster.awaitWhole();
        },
      };
    },
  };
}

/** `share` of what arrives is lost, from 0 to 1; at 1 the member speaks and does not hear. */
export function oneWayLoss(victim: Victim, share: number): Nemesis {
  return filtered(
    `loss of ${share * 100} % of what arrives at ${victim.called}`,
    async (cluster) => {
      const member = await victim.pick(cluster);
      await networkOf(member).loseIncoming(share);
      return [member];
    },
  );
}

/** The leader together with one participant and its Postgres: a minority that hears itself, and a shard that only it hears. */
export const minorityCutOff: Nemesis = filtered("cut of a minority", async (cluster) => {
  const node = await cluster.leader();
  const [participant] = cluster.participants;
  if (participant === undefined) throw new Error("the cluster has no participant");
  const minority: readonly Member[] = [node, participant];
  const majority = [...cluster.coordinators, ...cluster.participants].filter(({ name }) =>
    minority.every((member) => member.name !== name),
  );
  for (const member of minority) await networkOf(member).cutFrom(majority);
  return minority;
});

export const leaderCutFromParticipants: Nemesis = filtered(
  "the leader cut from participants only",
  async (cluster) => {
    const node = await cluster.leader();
    await networkOf(node).cutFrom(cluster.participants);
    return [node];
  },
);

export const leaderCutFromClients: Nemesis = filtered(
  "the leader cut from clients only",
  async (cluster) => {
    const node = await cluster.leader();
    await networkOf(node).cutFromClients();
    return [node];
  },
);

/** Every node hears a majority, and no two of them the same one: with three nodes a ring is a chain, with its leader at one end. */
export const majorityRing: Nemesis = filtered("majority ring", async (cluster) => {
  const node = await cluster.leader();
  await networkOf(node).cutFrom([await aFollower(cluster)]);
  return [node];
});

/** Where the kernel has no queue that delays, the leader stutters in its place, and that is said loudly. */
export function delay(tell: (line: string) => void): Nemesis {
  const delayed = filtered(`delay of ${DELAY_MS} ms of what the leader sends`, async (cluster) => {
    const node = await cluster.leader();
    await networkOf(node).delay(DELAY_MS);
    return [node];
  });
  return {
    ...delayed,
    inject: async (cluster) => {
      const node = await cluster.leader();
      if (await networkOf(node).canDelay()) return delayed.inject(cluster);
      tell("NO NETEM IN THIS KERNEL: THE LEADER STUTTERS, ITS PACKETS ARE NOT DELAYED ONE BY ONE");
      const instead = stutter(leader);
      return { ...(await instead.inject(cluster)), instead: instead.name };
    },
  };
}

/** `harm` tells whom it harmed by filters or queues, which the heal removes. */
function filtered(name: string, harm: (cluster: Cluster) => Promise<readonly Member[]>): Nemesis {
  return {
    name,
    needs: ["networks"],
    kills: false,
    inject: async (cluster): Promise<Fault> => {
      const victims = await harm(cluster);
      return {
        victim: victims.map((member) => member.name).join(" and "),
        kills: [],
        heal: async () => {
          let met = 0;
          for (const victim of victims) met += await networkOf(victim).restore();
          await cluster.awaitWhole();
          if (met === 0) throw new Error(`${name} harmed nobody: no packet met it`);
        },
      };
    },
  };
}

function networkOf({ name, network }: Member): MemberNetwork {
  if (network === undefined) throw new Error(`${name} has no network of its own`);
  return network;
}
