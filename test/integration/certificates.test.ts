/** A cluster whose nodes know each other by certificates that `createAuthority` and `issueCertificate` made. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createAuthority, issueCertificate, type Pair } from "../../client/certificates.ts";
import { createHttpInquirer } from "../../participant/api/http-inquirer.ts";
import { ballot, carrierId, nodeId, shardId, type Xid } from "../../shared/model/ids.ts";
import { PROTOCOL_VERSION } from "../../shared/model/protocol.ts";
import { connectChannel } from "../../shared/runtime/channel-ends.ts";
import { systemRandom } from "../../shared/runtime/clock.ts";
import { ConfigError } from "../../shared/runtime/config-reading.ts";
import { NodeTls, readNodeTls, type NodeRole } from "../../shared/runtime/node-certificate.ts";
import { ask } from "../support/https.ts";
import { startWholeCluster, type WholeCluster } from "../support/whole-cluster.ts";

const directory = mkdtempSync(join(tmpdir(), "synod-certificates-"));
let authority: Pair;
let foreign: Pair;
let cluster: WholeCluster;

const issue = (by: Pair, role: NodeRole, id: string): Promise<Pair> =>
  issueCertificate(by, { role, id, hosts: ["127.0.0.1", "localhost"], days: 1 });

function save(name: string, { certificate, key }: Pair): void {
  writeFileSync(join(directory, `${name}.pem`), certificate);
  writeFileSync(join(directory, `${name}-key.pem`), key);
}

beforeAll(async () => {
  authority = await createAuthority("whole", 1);
  foreign = await createAuthority("whole", 1);
  save("ca", authority);
  for (const id of ["1", "2", "3"]) {
    save(`coordinator-${id}`, await issue(authority, "coordinator", id));
  }
  for (const shard of ["s1", "s2"]) {
    save(`participant-${shard}`, await issue(authority, "participant", shard));
  }
  cluster = await startWholeCluster(["s1", "s2"], directory);
}, 120_000);

afterAll(async () => {
  await cluster.stop();
  rmSync(directory, { recursive: true, force: true });
});

test("every node carries a transaction over two shards to its end", async () => {
  const operations = ["s1", "s2"].map((shard) => {
    return { shard, sql: "select 1 as one" };
  });
  for (const url of cluster.urls) {
    const told = await ask(url, "/v1/transactions", { body: { operations } });
    expect(told).toMatchObject({ status: 200, body: { outcome: "committed" } });
  }
});

test("a client that trusts the authority, beside another one of the same name or alone, gets an answer without a certificate of its own", async () => {
  const trusting = { rejectUnauthorized: true, ca: authority.certificate };
  expect((await ask(cluster.url, "/livez", trusting)).status).toBe(200);
  const orders = [authority, foreign, authority].map(({ certificate }) => certificate);
  for (const ca of [orders.slice(0, 2), orders.slice(1)]) {
    const both = { rejectUnauthorized: true, ca: ca.join("") };
    expect((await ask(cluster.url, "/livez", both)).status).toBe(200);
  }
  const distrusting = { rejectUnauthorized: true, ca: foreign.certificate };
  await expect(ask(cluster.url, "/livez", distrusting)).rejects.toThrow(/certificate|signature/);
});

test("internal paths are for certificates of nodes", async () => {
  const path = "/internal/v1/outcomes";
  const body = {};
  expect((await ask(cluster.url, path, { body })).status).toBe(401);
  const pair = await issue(foreign, "participant", "s1");
  const forged = { cert: pair.certificate, key: pair.key };
  expect((await ask(cluster.url, path, { body, ...forged })).status).toBe(401);
  const cert = readFileSync(join(directory, "participant-s1.pem"));
  const key = readFileSync(join(directory, "participant-s1-key.pem"));
  expect((await ask(cluster.url, path, { body, cert, key })).status).toBe(400);
});

test("a participant asks coordinators about outcomes under its certificate", async () => {
  const files = {
    SYNOD_TLS_CA: join(directory, "ca.pem"),
    SYNOD_TLS_CERT: join(directory, "participant-s1.pem"),
    SYNOD_TLS_KEY: join(directory, "participant-s1-key.pem"),
  };
  const own = { clusterId: "whole", role: "participant", id: "s1" } as const;
  const inquirer = createHttpInquirer([cluster.url], 0, undefined, readNodeTls(files, own));
  const branches = [{ carrierId: carrierId(ballot(1, nodeId(1)), 1), xid: "701" as Xid }];
  const outcomes = await inquirer.ask({ shard: shardId("s1"), branches });
  inquirer.close();
  expect(outcomes).toHaveLength(1);
});

interface Material {
  readonly by?: "us" | "foreign";
  readonly role: NodeRole;
  readonly id: string;
}

/** What becomes of somebody who says that he is coordinator 1, at a peer's door or a participant's. */
async function knock(path: "peer" | "channel", { by = "us", role, id }: Material): Promise<string> {
  const port = path === "peer" ? cluster.peerPorts[2]! : cluster.participantPorts[0]!;
  const pair = await issue(by === "us" ? authority : foreign, role, id);
  const material = { ca: authority.certificate, cert: pair.certificate, key: pair.key };
  const tls = new NodeTls(material, { clusterId: "whole", role, id });
  return new Promise((resolve) => {
    const connection = connectChannel({
      url: `wss://127.0.0.1:${port}/${path}`,
      tls: path === "peer" ? tls.dial("coordinator", "3") : tls.dial("participant", "s1"),
      hello: () => ({ protocol: PROTOCOL_VERSION, clusterId: "whole", nodeId: 1 }),
      random: systemRandom,
      acceptReply: () => true,
      onUp: () => {
        end("up");
      },
      onDown: () => undefined,
      onRefused: (sentence) => {
        end(sentence);
      },
      onFailed: (sentence) => {
        end(sentence);
      },
    });
    const end = (what: string): void => {
      connection.close();
      resolve(what);
    };
  });
}

test("who holds the certificate of the coordinator that he says he is, is taken", async () => {
  expect(await knock("channel", { role: "coordinator", id: "1" })).toBe("up");
});

test.each<[string, Material, string]>([
  [
    "another id",
    { role: "coordinator", id: "2" },
    "the certificate is of synod://whole/coordinator/2, not of synod://whole/coordinator/1",
  ],
  [
    "another role",
    { role: "participant", id: "1" },
    "the certificate is of synod://whole/participant/1, not of synod://whole/coordinator/1",
  ],
  [
    "another authority",
    { by: "foreign", role: "coordinator", id: "1" },
    "the certificate is not good here: ",
  ],
])("a forged peer is refused with a sentence: %s", async (_, material, sentence) => {
  for (const path of ["peer", "channel"] as const) {
    expect(await knock(path, material)).toContain(sentence);
  }
});

test("a node takes no server that is somebody else, and says who it is", async () => {
  const pair = await issue(authority, "coordinator", "1");
  const material = { ca: authority.certificate, cert: pair.certificate, key: pair.key };
  const tls = new NodeTls(material, { clusterId: "whole", role: "coordinator", id: "1" });
  const sentence = await new Promise((resolve) => {
    const connection = connectChannel({
      url: `wss://127.0.0.1:${cluster.participantPorts[0]!}/channel`,
      tls: tls.dial("participant", "s2"),
      ...{ hello: () => ({}), random: systemRandom, acceptReply: () => true },
      ...{ onUp: () => undefined, onDown: () => undefined },
      onRefused: (told) => {
        connection.close();
        resolve(told);
      },
    });
  });
  expect(sentence).toBe(
    "the certificate is of synod://whole/participant/s1, not of synod://whole/participant/s2",
  );
});

test("who speaks plainly gets no answer", async () => {
  for (const port of [cluster.peerPorts[0]!, cluster.participantPorts[0]!]) {
    await expect(ask(`http://127.0.0.1:${port}`, "/livez")).rejects.toThrow(/hang up|ECONNRESET/);
  }
});

test("a node does not start with a certificate that is not its own, or with half of one", () => {
  const file = (name: string): string => join(directory, name);
  const files = {
    SYNOD_TLS_CA: file("ca.pem"),
    SYNOD_TLS_CERT: file("coordinator-1.pem"),
    SYNOD_TLS_KEY: file("coordinator-1-key.pem"),
  };
  const own = { clusterId: "whole", role: "coordinator", id: "1" } as const;
  const attempt =
    (change: object, name = {}) =>
    (): unknown =>
      readNodeTls({ ...files, ...change }, { ...own, ...name });
  expect(attempt({})()).toBeInstanceOf(NodeTls);
  expect(attempt({}, { id: "2" })).toThrow("but this is synod://whole/coordinator/2");
  expect(attempt({}, { clusterId: "other" })).toThrow(ConfigError);
  expect(attempt({ SYNOD_TLS_KEY: undefined })).toThrow("SYNOD_TLS_KEY is not set");
  expect(attempt({ SYNOD_TLS_KEY: file("coordinator-2-key.pem") })).toThrow(
    "SYNOD_TLS_KEY is not the key of SYNOD_TLS_CERT",
  );
});
