/** Faults in one container's networks: the engine takes it out of them, or the kernel drops and delays packets in its namespace. */
import type { StartedNetwork } from "testcontainers";
import type { Member, MemberNetwork } from "./cluster.ts";
import { addressesOf, type Engine, inNetworkOf } from "./engine.ts";

/** The first column of a rule counts the packets that it met. */
const DROPPED = /^\s*(\d+)\s+\d+\s+DROP\s/gm;
const DELAYED = /^qdisc netem .*\n\s+Sent \d+ bytes (\d+) pkt/gm;

/** `name` finds the container also after it was made anew. */
export function networkOf(
  engine: Engine,
  name: string,
  networks: readonly StartedNetwork[],
): MemberNetwork {
  const all = networks.map((network) => engine.getNetwork(network.getId()));
  const run = (...command: readonly string[]): Promise<string> =>
    inNetworkOf(engine, name, command);
  const drop = (chain: "INPUT" | "OUTPUT", ...rule: readonly string[]): Promise<string> =>
    run("iptables", "-w", "-A", chain, ...rule, "-j", "DROP");
  const onAllInterfaces = async (...discipline: readonly string[]): Promise<void> => {
    for (const index of all.keys()) {
      await run("tc", "qdisc", "replace", "dev", `eth${index}`, "root", ...discipline);
    }
  };
  return {
    disconnect: async () => {
      for (const network of all) await network.disconnect({ Container: name, Force: true });
    },
    connect: async () => {
      for (const network of all) await network.connect({ Container: name });
    },
    cutFrom: async (others: readonly Member[]) => {
      for (const other of others) {
        for (const { address } of await addressesOf(engine, other.name)) {
          await drop("INPUT", "-s", address);
          await drop("OUTPUT", "-d", address);
        }
      }
    },
    cutFromClients: async () => {
      for (const { gateway } of await addressesOf(engine, name)) await drop("INPUT", "-s", gateway);
    },
    loseIncoming: async (share) => {
      const random = ["-m", "statistic", "--mode", "random", "--probability", String(share)];
      await drop("INPUT", "!", "-i", "lo", ...(share < 1 ? random : []));
    },
    delay: (byMs) => onAllInterfaces("netem", "delay", `${byMs}ms`, `${Math.round(byMs / 4)}ms`),
    canDelay: async () => {
      try {
        await run("tc", "qdisc", "replace", "dev", "lo", "root", "netem", "delay", "1ms");
      } catch {
        return false;
      }
      await run("tc", "qdisc", "del", "dev", "lo", "root");
      return true;
    },
    restore: async () => {
      const rules = await run("iptables", "-w", "-L", "-n", "-v", "-x");
      await run("iptables", "-w", "-F");
      const queues = await run("tc", "-s", "qdisc", "show");
      if (queues.includes("netem")) await onAllInterfaces("noqueue");
      return sumOf(rules, DROPPED) + sumOf(queues, DELAYED);
    },
  };
}

function sumOf(text: string, count: RegExp): number {
  return [...text.matchAll(count)].reduce((sum, [, packets]) => sum + Number(packets), 0);
}
