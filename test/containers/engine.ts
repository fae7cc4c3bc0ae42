/** The Docker engine: whether there is one, and what testcontainers has no words of its own for. */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { type ContainerRuntimeClient, getContainerRuntimeClient } from "testcontainers";

export type Engine = ContainerRuntimeClient["container"]["dockerode"];

const ROOT = join(import.meta.dirname, "..", "..");
const execute = promisify(execFile);

/** Throws when no engine answers. */
export async function findEngine(): Promise<Engine> {
  return (await getContainerRuntimeClient()).container.dockerode;
}

/** Of the code that is there: what is inside the image is what is tested. */
export async function buildImage(tag: string): Promise<void> {
  const hasBuildKit = await execute("docker", ["buildx", "version"]).then(
    () => true,
    () => false,
  );
  const { NODE_IMAGE } = process.env;
  const base = NODE_IMAGE === undefined ? [] : ["--build-arg", `NODE_IMAGE=${NODE_IMAGE}`];
  await execute("docker", ["build", "--quiet", "--tag", tag, ...base, "."], {
    cwd: ROOT,
    env: { ...process.env, DOCKER_BUILDKIT: hasBuildKit ? "1" : "0" },
  });
}

export async function describeImage(engine: Engine, image: string): Promise<string> {
  const { Id, Created } = await engine.getImage(image).inspect();
  return `image ${image}, ${Id.slice(0, 19)}, built ${Created}`;
}

/** What a program of this machine writes, in a container's network namespace; needs root, and an engine on this machine. */
export async function inNetworkOf(
  engine: Engine,
  container: string,
  command: readonly string[],
): Promise<string> {
  const { State } = await engine.getContainer(container).inspect();
  const { stdout } = await execute("nsenter", ["-t", String(State.Pid), "-n", ...command]);
  return stdout;
}

/** In each of its networks: its own address, and that of the engine, by which whatever is outside comes in. */
export async function addressesOf(
  engine: Engine,
  container: string,
): Promise<readonly { readonly address: string; readonly gateway: string }[]> {
  const { NetworkSettings } = await engine.getContainer(container).inspect();
  return Object.values(NetworkSettings.Networks).map(({ IPAddress, Gateway }) => {
    return { address: IPAddress, gateway: Gateway };
  });
}
