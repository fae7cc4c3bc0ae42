/** The Docker engine: whether there is one, and the few calls for which testcontainers has no words of its own. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { type ContainerRuntimeClient, getContainerRuntimeClient } from "testcontainers";

export type Engine = ContainerRuntimeClient["container"]["dockerode"];

/** Throws when no engine answers. */
export async function findEngine(): Promise<Engine> {
  return (await getContainerRuntimeClient()).container.dockerode;
}

/** What is inside the image is what is tested: name it exactly. */
export async function describeImage(engine: Engine, image: string): Promise<string> {
  const { Id, Created } = await engine.getImage(image).inspect();
  return `image ${image}, ${Id.slice(0, 19)}, built ${Created}`;
}

/** Runs a program of this machine in a container's network namespace; needs root, and an engine on this machine. */
export async function inNetworkOf(
  engine: Engine,
  containerId: string,
  command: readonly string[],
): Promise<void> {
  const { State } = await engine.getContainer(containerId).inspect();
  await promisify(execFile)("nsenter", ["-t", String(State.Pid), "-n", ...command]);
}
