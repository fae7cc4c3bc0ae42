/** Built programs whose nodes know each other by certificates that the command line has made. */
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { Exchange } from "../../client/exchange.ts";
import { Synod } from "../../client/sdk.ts";
import type { LocalCluster } from "../../demo/local-cluster.ts";
import { PROTOCOL_VERSION } from "../../shared/model/protocol.ts";
import { connectChannel } from "../../shared/runtime/channel-ends.ts";
import { systemRandom } from "../../shared/runtime/clock.ts";
import { ClusterSecret } from "../../shared/runtime/cluster-secret.ts";
import { NodeTls, type NodeRole } from "../../shared/runtime/node-certificate.ts";
import { ClusterHome } from "../support/cluster-home.ts";
import { runCommand, type CommandRun } from "../support/command-line.ts";
import { ask } from "../support/https.ts";

const SECRET = "a secret that every node of this cluster knows";
const TOKEN = "of-the-shop";
const BOTH = ["s1", "s2"].map((shard) => ({ shard, sql: "select 1 as one" }));
const OPS = BOTH.flatMap(({ shard, sql }) => ["--op", `${shard}=${sql}`]);

const home = new ClusterHome("tls");
let cluster: LocalCluster;
let url: string;

const cli = (env: Readonly<Record<string, string>>, ...args: readonly string[]) =>
  runCommand(home.path, { SYNOD_ENDPOINTS: url, SYNOD_TOKEN_FILE: "token", ...env }, ...args);

async function certify(dir: string, ...args: readonly string[]): Promise<void> {
  const { code, err } = await runCommand(home.path, {}, "cert", ...args, "--dir", dir);
  expect([err, code]).toEqual(["", 0]);
}

const AT_HOME = ["--host", "127.0.0.1"];

beforeAll(async () => {
  await Promise.all(["certs", "foreign"].map((dir) => certify(dir, "init", "--cluster", "local")));
  await Promise.all([
    ...["1", "2", "3"].map((id) => certify("certs", "issue", `coordinator/${id}`, ...AT_HOME)),
    ...["s1", "s2"].map((shard) => certify("certs", "issue", `participant/${shard}`)),
    certify("foreign", "issue", "coordinator/1", ...AT_HOME),
  ]);
  const tokens = [createHash("sha256").update(TOKEN).digest("hex")];
  const clients = [{ id: "shop", role: "client", tokens }];
  writeFileSync(home.file("clients.json"), JSON.stringify({ clients }));
  writeFileSync(home.file("token"), `${TOKEN}\n`);
  cluster = await home.start({
    ...{ shards: 2, certificates: home.file("certs"), token: TOKEN },
    env: { SYNOD_CLUSTER_SECRET: SECRET, SYNOD_CLIENTS_FILE: home.file("clients.json") },
  });
  url = cluster.coordinators[0]!.url;
}, 120_000);

afterAll(() => home.remove());

const pem = (dir: string, name: string): string =>
  readFileSync(home.file(`${dir}/${name}.pem`), "utf8");

test("coordinators and participants carry a transaction, through the client that is given the authority", async () => {
  for (const node of cluster.coordinators) {
    expect(node.url).toMatch(/^https:/);
    const options = { endpoints: [node.url], token: TOKEN };
    const synod = new Synod({ ...options, authority: pem("certs", "ca") });
    expect((await synod.transaction(BOTH)).outcome).toBe("committed");
    synod.close();
  }
});

test("a client that trusts another authority has sent nothing", async () => {
  const exchange = new Exchange(1, { token: TOKEN, authority: pem("foreign", "ca") });
  const request = { method: "POST", path: "/v1/transactions", body: "{}" } as const;
  const reply = await exchange.send(url, request, 10_000, undefined);
  exchange.close();
  expect(reply).toMatchObject({
    kind: "notSent",
    cause: { code: expect.stringMatching(/CERT/) as string },
  });
});

test("the command line takes the authority as an option, a setting, Node's own, or from the cluster's file", async () => {
  const told: CommandRun[] = [
    await cli({}, "--ca", "certs/ca.pem", "tx", "run", ...OPS),
    await cli({ SYNOD_TLS_CA: "certs/ca.pem" }, "tx", "run", ...OPS),
    await cli({ NODE_EXTRA_CA_CERTS: home.file("certs/ca.pem") }, "read", ...OPS),
  ];
  for (const { code, err } of told) expect([err, code]).toEqual(["", 0]);
  const file = JSON.parse(readFileSync(cluster.clusterFile, "utf8")) as object;
  expect(file).toHaveProperty("authority", home.file("certs/ca.pem"));
  const unknown = await cli({}, "--deadline", "2000", "status");
  expect(unknown.code).toBe(5);
  expect(unknown.err).toContain("certificate");
});

test("a client has no answer without a token, nor any that speaks plainly", async () => {
  const trusting = { rejectUnauthorized: true, ca: pem("certs", "ca") };
  expect((await ask(url, "/livez", trusting)).status).toBe(200);
  expect((await ask(url, "/v1/cluster", trusting)).status).toBe(401);
  const ports = [
    ...cluster.coordinators.flatMap((node) => [new URL(node.url).port, node.peerPort]),
    ...cluster.participants.map((node) => new URL(node.url).port),
  ];
  for (const port of ports) {
    await expect(ask(`http://127.0.0.1:${port}`, "/livez")).rejects.toThrow(/hang up|ECONNRESET/);
  }
});

/** What becomes of somebody who knows the secret and says that he is coordinator 1. */
async function knock(door: string, dir: string, role: NodeRole, id: string): Promise<string> {
  const name = `${role}-${id}`;
  const material = { ca: pem("certs", "ca"), cert: pem(dir, name), key: pem(dir, `${name}-key`) };
  const tls = new NodeTls(material, { clusterId: "local", role, id });
  return new Promise((resolve) => {
    const end = (told: string): void => {
      connection.close();
      resolve(told);
    };
    const connection = connectChannel({
      ...{ url: door, secret: new ClusterSecret(SECRET), random: systemRandom },
      tls: door.endsWith("peer") ? tls.dial("coordinator", "3") : tls.dial("participant", "s1"),
      hello: () => ({ protocol: PROTOCOL_VERSION, clusterId: "local", nodeId: 1 }),
      acceptReply: () => true,
      onUp: () => {
        end("up");
      },
      onDown: () => undefined,
      onRefused: end,
      onFailed: end,
    });
  });
}

test("who knows the secret, but holds the certificate of another node, role or authority, is refused", async () => {
  const peer = `wss://127.0.0.1:${cluster.coordinators[2]!.peerPort}/peer`;
  const channel = `${cluster.participants[0]!.url.replace("https", "wss")}/channel`;
  for (const door of [peer, channel]) {
    expect(await knock(door, "certs", "coordinator", "2")).toContain(
      "the certificate is of synod://local/coordinator/2, not of synod://local/coordinator/1",
    );
    expect(await knock(door, "certs", "participant", "s2")).toContain(
      "the certificate is of synod://local/participant/s2",
    );
    expect(await knock(door, "foreign", "coordinator", "1")).toContain(
      "the certificate is not good here: ",
    );
  }
});
