/**
 * One member in a container: created through testcontainers, then handled by the engine, because a member must come back under
 * its old name, on its old port and data.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import { GenericContainer, type StartedNetwork } from "testcontainers";
import { LOOPBACK } from "../../demo/ports.ts";
import type { Member } from "./cluster.ts";
import { networkOf } from "./container-network.ts";
import type { Engine } from "./engine.ts";

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
  /** Directories of this machine that it sees, `here:there` and options. */
  readonly mounts?: readonly string[];
  readonly awaitReady: () => Promise<void>;
}

const STOP_GRACE_SECONDS = 10;
const ALREADY_STOPPED = 304;
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
    if (plan.mounts !== undefined) this.hostConfig.Binds = [...plan.mounts];
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
  /** Its last lines; all of them by default. */
  logs(lines?: number): Promise<string>;
  copy(path: string, into: string): Promise<void>;
  remove(): Promise<void>;
}

/** Started, not yet ready. */
export async function startContainer(
  engine: Engine,
  plan: ContainerPlan,
): Promise<ContainerMember> {
  await new PlannedContainer(engine, plan).start();
  const container = engine.getContainer(plan.name);
  const remove = (): Promise<void> => container.remove({ force: true, v: true });
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
      if (isRunning) await stop(container);
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
    network: networkOf(engine, plan.name, plan.networks),
    logs: async (lines) => {
      const tail = lines === undefined ? {} : { tail: lines };
      return withoutFrames(await container.logs({ stdout: true, stderr: true, ...tail }));
    },
    copy: (path, into) => copyOut(container, path, into),
    replace: async () => {
      isRunning = false;
      await remove();
      await new PlannedContainer(engine, plan).start();
      isRunning = true;
      await plan.awaitReady();
    },
    remove,
  };
}

type Container = ReturnType<Engine["getContainer"]>;

/** One that has ended by itself is stopped. */
async function stop(container: Container): Promise<void> {
  try {
    await container.stop({ t: STOP_GRACE_SECONDS });
  } catch (error) {
    if ((error as { readonly statusCode?: number }).statusCode !== ALREADY_STOPPED) throw error;
  }
}

async function copyOut(container: Container, path: string, into: string): Promise<void> {
  await mkdir(into, { recursive: true });
  const archive = await container.getArchive({ path: `${path}/.` });
  const tar = spawn("tar", ["-x", "-f", "-", "-C", into], { stdio: ["pipe", "ignore", "inherit"] });
  const ended = once(tar, "exit");
  await pipeline(archive, tar.stdin);
  const [code] = (await ended) as [number | null];
  if (code !== 0) throw new Error(`tar ended with ${code}`);
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
