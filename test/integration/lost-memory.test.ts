/**
 * Nodes that come back without what they had acknowledged: three coordinators with real disks and sockets. And the way out:
 * replacing a node, in the order that the README gives.
 */
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readCoordinatorConfig } from "../../coordinator/config.ts";
import { startCoordinator, type Coordinator } from "../../coordinator/coordinator.ts";
import { LogIdentityMismatch } from "../../coordinator/log/log-store.ts";
import { peersPath } from "../../coordinator/transport/peers-file.ts";
import { NodeRefused } from "../../coordinator/transport/socket-peers.ts";
import { freePorts } from "../../demo/ports.ts";
import { noFailpoints } from "../../shared/model/failpoints.ts";
import { get } from "../support/api-node.ts";
import { collectedLog } from "../support/collected-log.ts";
import { eventually } from "../support/wait.ts";

const IDS = [1, 2, 3, 4];
const home = mkdtempSync(join(tmpdir(), "lost-memory-"));
const running = new Map<number, Coordinator>();
const fatal = new Map<number, unknown>();
let ports: readonly number[];
let world = 0;

beforeEach(async () => {
  world += 1;
  ports = await freePorts(2 * IDS.length);
});

afterEach(async () => {
  await stop(...running.keys());
  fatal.clear();
});

afterAll(() => {
  rmSync(home, { recursive: true, force: true });
});

const directoryOf = (id: number): string => join(home, String(world), String(id));
const httpOf = (id: number): string => `127.0.0.1:${String(ports[2 * id - 2])}`;
const peerOf = (id: number): string => `127.0.0.1:${String(ports[2 * id - 1])}`;

async function start(members: readonly number[], ...ids: readonly number[]): Promise<void> {
  for (const id of ids) {
    const config = readCoordinatorConfig({
      SYNOD_CLUSTER_ID: "lost",
      SYNOD_NODE_ID: String(id),
      SYNOD_DATA_DIR: directoryOf(id),
      SYNOD_HTTP_LISTEN: httpOf(id),
      SYNOD_PEER_LISTEN: peerOf(id),
      SYNOD_PEERS: members.map((member) => `${member}=${peerOf(member)}`).join(","),
      SYNOD_COORDINATORS: members.map((member) => `${member}=http://${httpOf(member)}`).join(","),
      SYNOD_PARTICIPANTS: "s1=127.0.0.1:9",
    });
    const onFatal = (error: unknown): void => {
      if (!fatal.has(id)) fatal.set(id, error);
      // As the process would end.
      void stop(id);
    };
    const options = { config, logger: collectedLog(), onFatal, failpoint: noFailpoints };
    running.set(id, await startCoordinator(options));
  }
}

async function stop(...ids: readonly number[]): Promise<void> {
  const stopping = ids.flatMap((id) => running.get(id) ?? []);
  for (const id of ids) running.delete(id);
  await Promise.all(stopping.map((coordinator) => coordinator.stop()));
}

interface View {
  readonly node: number;
  readonly serving: boolean;
  readonly leader?: number | null;
  readonly appliedUpTo: number;
}

async function viewOf(id: number): Promise<View> {
  return (await get(`http://${httpOf(id)}`, "/v1/cluster")).body as unknown as View;
}

/** One of them leads and serves, and the others have applied what it has; answers its view. */
async function agreed(...ids: readonly number[]): Promise<View> {
  let found: View | undefined;
  await eventually(`nodes ${ids.join(", ")} agree`, async () => {
    const views = await Promise.all(ids.map(viewOf));
    const leading = views.find(({ node, leader, serving }) => node === leader && serving);
    const isOne = views.every(
      ({ leader, appliedUpTo }) => leader === leading?.node && appliedUpTo === leading?.appliedUpTo,
    );
    if (isOne) found = leading;
    return found !== undefined;
  });
  return found!;
}

async function remembers(id: number, others: readonly number[]): Promise<void> {
  await eventually(`node ${id} has written down who ${others.join(", ")} are`, () => {
    const path = peersPath(directoryOf(id));
    if (!existsSync(path)) return false;
    const { peers } = JSON.parse(readFileSync(path, "utf8")) as { peers: { node: number }[] };
    return others.every((other) => peers.some(({ node }) => node === other));
  });
}

/** A group of three that has decided something, stopped; every node knows every other. */
async function usedGroup(): Promise<void> {
  await start([1, 2, 3], 1, 2, 3);
  await agreed(1, 2, 3);
  for (const id of [1, 2, 3])
    await remembers(
      id,
      [1, 2, 3].filter((other) => other !== id),
    );
}

async function refused(id: number): Promise<string> {
  await eventually(`node ${id} is refused`, () => fatal.has(id));
  expect(fatal.get(id)).toBeInstanceOf(NodeRefused);
  const sentence = String(fatal.get(id));
  expect(sentence).toContain('"Replacing a node" in README.md');
  return sentence;
}

test.each([1, 3])(
  "node %i with a wiped directory is sent away after a restart of the whole group, and the others go on",
  async (wiped) => {
    const others = [1, 2, 3].filter((id) => id !== wiped);
    await usedGroup();
    await stop(1, 2, 3);
    rmSync(directoryOf(wiped), { recursive: true });
    await start([1, 2, 3], ...others, wiped);
    expect(await refused(wiped)).toContain(
      `(its directory was empty when it started): node ${wiped} came back with another disk`,
    );
    await agreed(...others);
    expect([...fatal.keys()]).toEqual([wiped]);
  },
);

test("an older copy of a node's directory is sent away, also after a restart of the whole group", async () => {
  await usedGroup();
  await stop(3);
  const copy = `${directoryOf(3)}.copy`;
  cpSync(directoryOf(3), copy, { recursive: true });
  await start([1, 2, 3], 3);
  const { leader, appliedUpTo } = await agreed(1, 2, 3);
  // A new ballot and its barrier: votes of node 3 that the copy does not hold.
  await stop(leader!);
  await start([1, 2, 3], leader!);
  expect((await agreed(1, 2, 3)).appliedUpTo).toBeGreaterThan(appliedUpTo);
  await stop(1, 2, 3);
  rmSync(directoryOf(3), { recursive: true });
  cpSync(copy, directoryOf(3), { recursive: true });
  await start([1, 2, 3], 1, 2, 3);
  expect(await refused(3)).toMatch(/node 3 acknowledged slot \d+, ballot \S+, and came back with/);
  await agreed(1, 2);
  expect([...fatal.keys()]).toEqual([3]);
});

test("an older copy of a node's directory is sent away by one that was never voted to, while the leader is down", async () => {
  await usedGroup();
  const { leader: first } = await agreed(1, 2, 3);
  const lost = [1, 2, 3].find((id) => id !== first)!;
  await stop(lost);
  const copy = `${directoryOf(lost)}.copy`;
  cpSync(directoryOf(lost), copy, { recursive: true });
  await start([1, 2, 3], lost);
  let leader = (await agreed(1, 2, 3)).leader!;
  // A new ballot and its barrier: votes that the copy does not hold, and that its leader alone has received.
  do {
    await stop(leader);
    await start([1, 2, 3], leader);
    leader = (await agreed(1, 2, 3)).leader!;
  } while (leader === lost);
  const bystander = [1, 2, 3].find((id) => id !== lost && id !== leader)!;
  await stop(leader, lost);
  rmSync(directoryOf(lost), { recursive: true });
  cpSync(copy, directoryOf(lost), { recursive: true });
  await start([1, 2, 3], lost);
  expect(await refused(lost)).toContain(
    `node ${bystander} refuses this node: node ${lost} acknowledged slot`,
  );
  await start([1, 2, 3], leader);
  await agreed(leader, bystander);
  expect([...fatal.keys()]).toEqual([lost]);
});

test("the disk of one node under the id of another does not start", async () => {
  await usedGroup();
  await stop(1, 2, 3);
  rmSync(directoryOf(3), { recursive: true });
  cpSync(directoryOf(2), directoryOf(3), { recursive: true });
  await expect(start([1, 2, 3], 3)).rejects.toThrow(
    "belongs to node 2 of cluster lost, not to node 3",
  );
});

test("a directory that remembers its peers but has lost its log does not start", async () => {
  await usedGroup();
  await stop(1, 2, 3);
  rmSync(join(directoryOf(3), "log"), { recursive: true });
  rmSync(join(directoryOf(3), "identity.json"));
  await expect(start([1, 2, 3], 3)).rejects.toThrow(LogIdentityMismatch);
});

test("a memory of peers that cannot be read is not taken for none", async () => {
  await usedGroup();
  await stop(1, 2, 3);
  const path = peersPath(directoryOf(3));
  cpSync(join(directoryOf(3), "identity.json"), path);
  await expect(start([1, 2, 3], 3)).rejects.toThrow(`${path} cannot be read`);
});

test("a log that was used does not start without its memory of peers, one that was not gets a new one", async () => {
  await start([1, 2, 3], 3);
  await stop(3);
  const path = peersPath(directoryOf(3));
  rmSync(path);
  await usedGroup();
  await stop(1, 2, 3);
  rmSync(path);
  await expect(start([1, 2, 3], 3)).rejects.toThrow(`${path} is missing`);
});

test("a node is replaced: survivors first, and the new one when they agree", async () => {
  await usedGroup();
  const { appliedUpTo } = await agreed(1, 2, 3);
  await stop(1, 2, 3);
  rmSync(directoryOf(3), { recursive: true });
  await start([1, 2, 4], 1, 2);
  expect((await agreed(1, 2)).appliedUpTo).toBeGreaterThan(appliedUpTo);
  await start([1, 2, 4], 4);
  await agreed(1, 2, 4);
  await stop(1);
  await agreed(2, 4);
  await start([1, 2, 4], 1);
  await agreed(1, 2, 4);
  await stop(2);
  await agreed(1, 4);
  expect(fatal.size).toBe(0);
});
