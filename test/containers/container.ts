/**
 * One member in a container: created through testcontainers, then handled by the engine, because a member must come back under
 * its old name, on its old port and data.
 */
import { GenericContainer, type StartedNetwork } from "testcontainers";
import { LOOPBACK } from "../../demo/ports.ts";
import type { Member, MemberNetwork } from "./cluster.ts";
import { type Engine, inNetworkOf } from "./engine.ts";

export interface ContainerPlan {
  /** Also its host name in its networks. */
  readonly name: string;
  readonly image: string;
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly networks: readonly StartedNetwork[];
  readonly port: number;
  /** On the loopback address. Fixed: the engine gives a container that it starts again another of those it chooses itself. */
  readonly hostPort: number;
  readonly awaitReady: () => Promise<void>;
}

const STOP_GRACE_SECONDS = 10;
const LOG_LINES = 10;
/** All containers of the engine's own parent together get no more of a busy processor than one process beside them. */
const CGROUP_PARENT = process.env["SYNOD_TEST_CGROUP_PARENT"];

class PlannedContainer extends GenericContainer {
  readonly #plan: ContainerPlan;
  readonly #engine: Engine;

  constructor(engine: Engine, plan: ContainerPlan) {
    super(plan.image);
    this.#plan = plan;
    this.#engine = engine;
    const port = `${plan.port}/tcp`;
    this.createOpts.ExposedPorts = { [port]: {} };
    this.hostConfig.PortBindings = {
      [port]: [{ HostIp: LOOPBACK, HostPort: String(plan.hostPort) }],
    };
    if (CGROUP_PARENT !== undefined) this.hostConfig.CgroupParent = CGROUP_PARENT;
    // Readiness is asked from outside; the image's own check would start a Node.js every few seconds in each container.
    this.createOpts.Healthcheck = { Test: ["NONE"] };
    this.withName(plan.name)
      .withEnvironment({ ...plan.env })
      .withCommand([...plan.command]);
    const [first] = plan.networks;
    if (first !== undefined) this.withNetwork(first);
  }

  protected override async containerCreated(id: string): Promise<void> {
    for (const network of this.#plan.networks.slice(1)) {
      await this.#engine.getNetwork(network.getId()).connect({ Container: id });
    }
  }
}

export interface ContainerMember extends Member {
  logs(): Promise<string>;
  remove(): Promise<void>;
}

/** Started, not yet ready. */
export async function startContainer(
  engine: Engine,
  plan: ContainerPlan,
): Promise<ContainerMember> {
  const started = await new PlannedContainer(engine, plan).start();
  const id = started.getId();
  const container = engine.getContainer(id);
  let isRunning = true;
  return {
    name: plan.name,
    isRunning: () => isRunning,
    crash: async (signal) => {
      isRunning = false;
      await container.kill({ signal });
      await container.wait();
    },
    restart: async () => {
      if (isRunning) await container.stop({ t: STOP_GRACE_SECONDS });
      await container.start();
      isRunning = true;
      await plan.awaitReady();
    },
    freeze: async () => {
      await container.pause();
    },
    thaw: async () => {
      await container.unpause();
    },
    network: networkOf(engine, id, plan.networks),
    logs: async () => {
      const log = await container.logs({ stdout: true, stderr: true, tail: LOG_LINES });
      return withoutFrames(log);
    },
    remove: async () => {
      await container.remove({ force: true, v: true });
    },
  };
}

function networkOf(
  engine: Engine,
  containerId: string,
  networks: readonly StartedNetwork[],
): MemberNetwork {
  const all = networks.map((network) => engine.getNetwork(network.getId()));
  const filter = (...rule: readonly string[]): Promise<void> =>
    inNetworkOf(engine, containerId, ["iptables", ...rule]);
  return {
    disconnect: async () => {
      for (const network of all) await network.disconnect({ Container: containerId, Force: true });
    },
    connect: async () => {
      for (const network of all) await network.connect({ Container: containerId });
    },
    loseIncoming: async (share) => {
      await filter("-F", "INPUT");
      if (share === 0) return;
      const random = ["-m", "statistic", "--mode", "random", "--probability", String(share)];
      await filter("-A", "INPUT", "!", "-i", "lo", ...random, "-j", "DROP");
    },
  };
}

/** The engine puts eight bytes before each piece of a log; the last four are its length. */
function withoutFrames(log: Buffer): string {
  const pieces: string[] = [];
  for (let at = 0; at + 8 <= log.length;) {
    const end = at + 8 + log.readUInt32BE(at + 4);
    pieces.push(log.toString("utf8", at + 8, end));
    at = end;
  }
  return pieces.join("");
}
